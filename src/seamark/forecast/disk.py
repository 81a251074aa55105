"""Bytes that a job leaves on the disk.

Arrays and maps are counted exactly; what compresses depends on the photographs, and its bytes per pixel were taken from
the demo and from rehearsals: ``python benchmarks/forecast.py <run folder>`` puts forecast and disk side by side.
"""

import math
from collections.abc import Callable

from seamark.forecast.learning import trained_parameters
from seamark.forecast.networks import NETWORKS
from seamark.forecast.work import Work
from seamark.settings.constant import ConstantSettings
from seamark.settings.efficientad import EfficientAdSettings
from seamark.settings.feature_bank import FeatureBankSettings
from seamark.settings.inp_former import InpFormerSettings

KINDS = {
    "demo": "photographs of the demo",
    "index": "lists of photographs",
    "truth": "lists of photographs",
    "crop": "tiles",
    "distill": "teachers",
    "train": "models",
    "infer": "tile maps",
    "merge": "maps",
    "fuse": "fused maps",
    "calibrate": "histograms",
    "binarize": "masks",
    "refine": "masks",
    "preview": "previews",
    "evaluate": "scores",
    "package": "archive and its folder",
    "report": "report",
    "comparison": "comparison",
    "ablation": "comparison",
}
"""What each stage leaves, by the name of its rule."""

HISTOGRAM_BYTES = 8 * 65536
RECORD_BYTES = 400
"""What a manifest or a file's header takes per photograph."""
MASK_BYTES_PER_PX = 0.002
PREVIEW_BYTES_PER_PX = 0.3
PANELS = 5
"""Panels of a strip. The viewer's photograph and map count as one more; its masks take next to nothing."""
PNG_BYTES_PER_PX = 0.58
"""Of the demo's photographs, per channel."""
ARCHIVE_SHARE = 0.75
"""Archive relative to the files in it."""
PAGE_BYTES = 2_000_000
"""The report, besides its records."""
SCORES_BYTES = 1_000_000
"""Curves and resamples of a category."""


def disk_bytes(work: Work) -> float:
    """Return about how many bytes a job leaves.

    Parameters
    ----------
    work : Work
        The job.

    Returns
    -------
    float
        Only its records for a job whose files are references to others.
    """
    size = _SIZES.get(work.stage)
    return RECORD_BYTES * work.photographs.count + (size(work) if size else 0.0)


def _demo(work: Work) -> float:
    return PNG_BYTES_PER_PX * sum(
        width * height * channels * count for (width, height, channels), count in work.photographs.sizes
    )


def _tiles(work: Work) -> float:
    return 1e6 * work.tiles_mb(work.photographs)


def _model(work: Work) -> float:
    return 4.0 * trained_parameters(work)


def _tile_maps(work: Work) -> float:
    return 4.0 * work.photographs.tiles(work.grid) * tile_map_numbers(work)


def _maps(work: Work) -> float:
    return 4.0 * work.photographs.map_pixels(work.scale)


def _fused(work: Work) -> float:
    return _maps(work) if len(work.config.fuse.members) > 1 else 0.0


def _histograms(work: Work) -> float:
    return float(HISTOGRAM_BYTES * len(work.config.data.splits))


def _masks(work: Work) -> float:
    return MASK_BYTES_PER_PX * work.photographs.pixels


def _archive(work: Work) -> float:
    return 2.0 * work.photographs.map_pixels(work.config.package.map_scale) * (1.0 + ARCHIVE_SHARE)


def _scores(_work: Work) -> float:
    return float(SCORES_BYTES)


def _page(_work: Work) -> float:
    return float(PAGE_BYTES)


def _previews(work: Work) -> float:
    return PREVIEW_BYTES_PER_PX * _drawn_px(work)


_SIZES: dict[str, Callable[[Work], float]] = {
    "demo": _demo,
    "crop": _tiles,
    "distill": _model,
    "train": _model,
    "infer": _tile_maps,
    "merge": _maps,
    "fuse": _fused,
    "calibrate": _histograms,
    "binarize": _masks,
    "refine": _masks,
    "preview": _previews,
    "evaluate": _scores,
    "package": _archive,
    "report": _page,
}


def _drawn_px(work: Work) -> float:
    """Pixels of the panels of all strips and of the layers of the viewer."""
    settings, total = work.config.preview, 0.0
    for (width, height, _), count in work.photographs.sizes:
        panel = (settings.panel_px / max(width, height)) ** 2
        layer = min(1.0, settings.layer_px / max(width, height)) ** 2
        total += (PANELS * panel + layer) * width * height * count
    return total


def tile_map_numbers(work: Work) -> float:
    """Return the numbers that the tile maps of one tile hold."""
    block, (height, width) = work.block, work.grid.input_shape
    if isinstance(block, EfficientAdSettings):
        border = 0 if block.border == "zeros" else 8
        return 3.0 * (height // 4 - border) * (width // 4 - border)
    stride = 4
    if isinstance(block, InpFormerSettings | FeatureBankSettings | ConstantSettings):
        network = NETWORKS.get(block.backbone, NETWORKS["efficientnet_lite0"])
        stride = min(network.strides[layer] for layer in (network.layers if block.layers is None else block.layers))
    return float(math.ceil(height / stride) * math.ceil(width / stride))
