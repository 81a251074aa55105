"""PFADSeg: a denoising student and a segmentation network that it guides."""
