"""Manifest of the inventory stage."""

from typing import Literal

from seamark.manifests.base import Inside, Manifest, Record
from seamark.settings.base import Split


class SplitCount(Record):
    """How many photographs a split has, by what its folder says of them."""

    split: Split
    images: int
    good: int
    bad: int
    """Both are 0 where labels are private."""


class InventoryManifest(Manifest):
    """What a category has, what was passed over in its folder, and what is odd about it."""

    category: Inside
    layout: Literal["mvtec_ad_2", "mvtec_ad"]
    line: str
    """All of it in one line, as terminal and report show it."""
    splits: tuple[SplitCount, ...]
    """In the order of the data set."""
    passed_over: tuple[str, ...]
    """Files and folders that nothing reads, each kind once."""
    warnings: tuple[str, ...]
    """What is read, but may not be meant: each a sentence."""
