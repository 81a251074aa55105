"""Make torchvision importable beside a torch whose build its compiled operators do not match.

A torchvision wheel that was compiled for CUDA cannot load its operators beside a CPU-only torch, and then
``import torchvision`` fails because two of its modules refer to ``torchvision::nms`` and ``torchvision::qnms``. timm
and segment-anything import torchvision, so they fail with it. Neither needs more of the compiled part than ``nms``,
which is short in plain torch. Where the compiled operators load, nothing here changes anything.
"""

import importlib
import importlib.machinery
import importlib.util
import sys
from pathlib import Path

import torch
from torch import Tensor

_SCHEMA = "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"
_libraries: list[torch.library.Library] = []
"""Declarations live as long as their Library object, so it is kept for the life of the process."""


def non_maximum_suppression(boxes: Tensor, scores: Tensor, iou_threshold: float) -> Tensor:
    """Keep the best box of every group of overlapping boxes.

    Parameters
    ----------
    boxes : Tensor
        (N, 4) float, corners x1, y1, x2, y2 in pixels with x1 <= x2 and y1 <= y2.
    scores : Tensor
        (N,) float, higher is better.
    iou_threshold : float
        A box is dropped when its intersection over union with a better kept box is larger than this.

    Returns
    -------
    Tensor
        (K,) int64, indices of the kept boxes, best first; equal scores keep the order of the input.
    """
    area = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    waiting = torch.argsort(scores, descending=True, stable=True)
    kept = []
    while waiting.numel():
        best, others = waiting[0], waiting[1:]
        kept.append(best)
        corner_low = torch.maximum(boxes[best, :2], boxes[others, :2])
        corner_high = torch.minimum(boxes[best, 2:], boxes[others, 2:])
        shared = (corner_high - corner_low).clamp(min=0).prod(dim=1)
        waiting = others[shared <= iou_threshold * (area[best] + area[others] - shared)]
    return torch.stack(kept) if kept else waiting


def _compiled_operators_load() -> bool:
    """Tell whether torchvision's own operators can be registered, without importing torchvision."""
    spec = importlib.util.find_spec("torchvision")
    folders = spec.submodule_search_locations if spec is not None else None
    for folder in folders or ():
        for suffix in importlib.machinery.EXTENSION_SUFFIXES:
            path = Path(folder) / f"_C{suffix}"
            if path.is_file():
                try:
                    torch.ops.load_library(path)  # type: ignore[no-untyped-call]
                except OSError:
                    return False
                return hasattr(torch.ops.torchvision, "nms")
    return False


def declare_torchvision_operators() -> None:
    """Declare ``torchvision::nms`` and ``torchvision::qnms`` when, and only when, the compiled ones do not load.

    Call it before the first import of torchvision, timm or segment_anything; calling it again does nothing. With the
    declaration in place ``torchvision.ops.nms`` works on every device; decoding with ``torchvision.io`` and operators
    such as ``deform_conv2d`` stay unavailable and say so themselves.
    """
    if _libraries or "torchvision" in sys.modules or _compiled_operators_load():
        return
    library = torch.library.Library("torchvision", "DEF")  # type: ignore[no-untyped-call]
    for name in ("nms", "qnms"):
        library.define(name + _SCHEMA)  # type: ignore[no-untyped-call]
    kernel = "CompositeExplicitAutograd"  # one kernel for every device
    library.impl("nms", non_maximum_suppression, kernel)  # type: ignore[no-untyped-call]
    _libraries.append(library)
    boxes = importlib.import_module("torchvision.ops.boxes")
    vars(boxes)["_assert_has_ops"] = lambda: None
