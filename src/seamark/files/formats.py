"""Which image formats are read."""

FORMATS = ("PNG", "JPEG", "BMP", "TIFF")
"""Formats whose decoders are used, whatever a file is called; others of Pillow's start foreign programs."""
IMAGE_SUFFIXES = {".png", ".bmp", ".jpg", ".jpeg", ".tif", ".tiff"}
