"""Submissions to the benchmark server."""
