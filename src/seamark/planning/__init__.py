"""What is decided before a job runs."""
