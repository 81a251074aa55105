"""Settings blocks, one file per stage or detector, free of NumPy, OpenCV and torch so that planning stays fast."""
