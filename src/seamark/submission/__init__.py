"""What the benchmark server receives."""
