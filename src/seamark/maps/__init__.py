"""A float score per pixel: from tile maps to fused and calibrated maps."""
