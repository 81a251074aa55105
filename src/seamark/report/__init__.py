"""The report: one static page over all numbers and pictures of a run."""
