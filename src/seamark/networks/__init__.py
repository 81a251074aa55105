"""Architectures: what backbones and detectors are built of, without training or files."""
