"""Seamark: anomaly segmentation of high-resolution industrial images, from photographs to a checked archive."""
