"""A bit per pixel: thresholds, components and their refinement."""
