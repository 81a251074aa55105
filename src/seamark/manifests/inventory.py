"""Manifest of the inventory stage."""

from seamark.manifests.base import Inside, Manifest


class InventoryManifest(Manifest):
    """What a category has, what was passed over in its folder, and what is odd about it."""

    category: Inside
    line: str
    """All of it in one line, as terminal and report show it."""
    warnings: tuple[str, ...]
    """What may not be meant, read or not: each a sentence."""
