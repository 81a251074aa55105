"""What a job has around it: its device, its files, its provenance."""
