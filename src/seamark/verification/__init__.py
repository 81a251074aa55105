"""Artifacts held against their manifests and provenance."""
