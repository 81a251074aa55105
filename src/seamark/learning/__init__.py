"""Common ground of all detectors: phases, batches, the loop, checkpoints, scoring."""
