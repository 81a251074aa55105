"""Strips, sheets and layers that a person looks at."""
