"""Drawn anomalies and colour changes for training, on 8-bit tiles with NumPy and OpenCV alone."""
