"""Size and appetite of the networks, as numbers: planning must not import torch to learn them."""

from seamark.backbones.table import BACKBONES as NETWORKS
from seamark.backbones.table import PublishedBackbone as Network

__all__ = ["NETWORKS", "SEGMENT_ANYTHING_MB", "Network"]

SEGMENT_ANYTHING_MB = {"vit_b": 3200.0, "vit_l": 5000.0, "vit_h": 7200.0}
"""Peak memory of refining with Segment Anything in MB (docs/segmenters.md). That of vit_b was measured; for the others
its activations are scaled by the width of their tokens, and their own parameters added."""
