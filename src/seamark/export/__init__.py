"""Trained detectors as graphs for other libraries, and scoring with them."""
