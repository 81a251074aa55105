"""INP-Former: reconstruction from intrinsic normal prototypes."""
