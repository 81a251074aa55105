"""EfficientAD, with collaborative discrepancy optimization."""
