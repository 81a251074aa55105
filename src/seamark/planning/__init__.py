"""Decisions before a job runs."""
