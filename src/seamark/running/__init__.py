"""Surroundings of a job: its device, its files, its provenance."""
