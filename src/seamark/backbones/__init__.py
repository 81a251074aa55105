"""Frozen networks with weights."""
