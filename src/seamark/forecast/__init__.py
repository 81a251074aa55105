"""Forecast of a run: disk, memory, GPU memory and time per stage, from settings and the sizes of the photographs."""
