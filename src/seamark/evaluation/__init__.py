"""Numbers against the truth."""
