"""Bytes that a job leaves on the disk.

Arrays and maps are counted exactly; what compresses depends on the photographs, and its bytes per pixel were taken from
the demo and from rehearsals: ``python benchmarks/forecast.py <run folder>`` puts forecast and disk side by side.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

from seamark.forecast.memory import finest_stride
from seamark.forecast.parameters import trained_parameters
from seamark.forecast.work import Work
from seamark.settings.constant import ConstantSettings
from seamark.settings.efficientad import EfficientAdSettings
from seamark.settings.feature_bank import FeatureBankSettings
from seamark.settings.inp_former import InpFormerSettings
from seamark.tiles.geometry import fold_count

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
    """Return about how many bytes a job leaves: only its records if its files are references to others."""
    return RECORD_BYTES * work.photographs.count + LEFT_BY[work.stage].size(work)


def _demo(work: Work) -> float:
    return PNG_BYTES_PER_PX * sum(
        width * height * channels * count for (width, height, channels), count in work.photographs.sizes
    )


def _model(work: Work) -> float:
    return 4.0 * trained_parameters(work)


def _tile_maps(work: Work) -> float:
    return 4.0 * work.photographs.tiles(work.grid) * _tile_map_numbers(work)


def _tile_map_numbers(work: Work) -> float:
    """Numbers that the tile maps of one tile hold."""
    block, (height, width) = work.block, work.grid.input_shape
    if isinstance(block, EfficientAdSettings):
        border = 0 if block.border == "zeros" else 8
        return 3.0 * (height // 4 - border) * (width // 4 - border)
    by_layer = isinstance(block, InpFormerSettings | FeatureBankSettings | ConstantSettings)
    stride = finest_stride(block) if by_layer else 4
    return float(math.ceil(height / stride) * math.ceil(width / stride))


def _maps(work: Work) -> float:
    return 4.0 * work.photographs.pixels(work.scale)


def _fused(work: Work) -> float:
    return 0.0 if work.config.fuse.refers else _maps(work)


def _masks(work: Work) -> float:
    return MASK_BYTES_PER_PX * work.photographs.pixels()


def _previews(work: Work) -> float:
    """Bytes of the panels of all strips and of the layers of the viewer."""
    settings, drawn_px = work.config.preview, 0.0
    for (width, height, _), count in work.photographs.sizes:
        folds = fold_count((height, width))
        folded_side = max(max(width, height) / folds, min(width, height) * folds)
        panel = (settings.panel_px / folded_side) ** 2
        layer = min(1.0, settings.layer_px / folded_side) ** 2
        drawn_px += (PANELS * panel + layer) * width * height * count
    return PREVIEW_BYTES_PER_PX * drawn_px


def _archive(work: Work) -> float:
    return 2.0 * work.photographs.pixels(work.config.package.map_scale) * (1.0 + ARCHIVE_SHARE)


class _Left(NamedTuple):
    what: str
    size: Callable[[Work], float] = lambda _: 0.0
    """Bytes besides the records."""


LEFT_BY = {
    "demo": _Left("photographs of the demo", _demo),
    "index": _Left("lists of photographs"),
    "inventory": _Left("lists of photographs"),
    "truth": _Left("lists of photographs"),
    "crop": _Left("tiles", lambda work: 1e6 * work.tiles_mb),
    "distill": _Left("teachers", _model),
    "train": _Left("models", _model),
    "infer": _Left("tile maps", _tile_maps),
    "merge": _Left("maps", _maps),
    "fuse": _Left("fused maps", _fused),
    "calibrate": _Left("histograms", lambda _: HISTOGRAM_BYTES),
    "binarize": _Left("masks", _masks),
    "refine": _Left("masks", _masks),
    "verdict": _Left("masks", _masks),
    "preview": _Left("previews", _previews),
    "evaluate": _Left("scores", lambda _: SCORES_BYTES),
    "package": _Left("archive and its folder", _archive),
    "report": _Left("report", lambda _: PAGE_BYTES),
    "comparison": _Left("comparison"),
    "ablation": _Left("comparison"),
}
"""What each stage leaves, by the name of its rule."""
