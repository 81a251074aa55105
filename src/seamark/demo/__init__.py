"""Procedural photographs in the MVTec AD 2 layout, so that the whole flow runs offline."""
