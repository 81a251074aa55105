"""Manifest of the demo stage."""

from typing import Literal

from seamark.manifests.base import Manifest, Record


class DemoFile(Record):
    """One file that the demo drew."""

    file: str
    """Path relative to the root named by ``root``."""
    root: Literal["data", "truth"]
    sha256: str
    """Digest of the file."""


class DemoCategory(Record):
    """One category of the demo."""

    name: str
    width: int
    """px"""
    height: int
    """px"""
    channels: Literal[1, 3]
    images: dict[str, int]
    """Number of photographs by split."""
    files: tuple[DemoFile, ...]
    """Photographs and masks, sorted by root and path."""


class DemoManifest(Manifest):
    """All that the demo drew, categories sorted by name."""

    seed: int
    scale: float
    categories: tuple[DemoCategory, ...]
