"""Writing a trained detector as one graph in the ONNX format: stored tiles in, score cells out.

torch's tracing exporter is used. The one that captures programs gives the same scores, but took 10 to 25 times as long.
"""

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from importlib.metadata import version
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from seamark.errors import ConfigError
from seamark.export.onnx_scorer import COMPONENTS, FACTS, MOST_BYTES, SCORES, TILES, GraphFacts, needs_extra
from seamark.files.atomic import atomic_write
from seamark.learning.detector import ComponentDetector, Detector
from seamark.networks.plain_form import plain_form

OPSET = 18
"""Version of ONNX's operators."""
_EXPORTER: Any = torch.onnx  # much of it has no types
BATCH = 2
"""Tiles that are traced; the graph takes any number."""
_RESIZING = {
    "aten::upsample_bilinear2d": ("bilinear", False),
    "aten::_upsample_bilinear2d_aa": ("bilinear", True),
    "aten::upsample_bicubic2d": ("bicubic", False),
    "aten::_upsample_bicubic2d_aa": ("bicubic", True),
}
"""Mode of torch's operators that resize, and whether without aliasing."""


class _TileScores(nn.Module):
    """What the graph computes."""

    def __init__(self, detector: Detector) -> None:
        super().__init__()
        self.detector = detector

    def forward(self, tiles: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        """Return scores (B, h, w), and both components (B, 2, h, w) if there are such, of tiles (B, H, W, 3)."""
        images = self.detector.backbone.normalise(tiles)
        if not isinstance(self.detector, ComponentDetector):
            return self.detector.score(images)
        both = self.detector.component_scores(images)
        return 0.5 * (both[:, 0] + both[:, 1]), both


def write_onnx(path: Path, detector: Detector) -> GraphFacts:
    """Write the graph of a trained detector, complete or not at all; the same bytes for the same weights.

    Its input ``tiles``, uint8 (B, H, W, 3), are B stored tiles, R, G, B, a grey one repeated; they are normalised in
    the graph. Its output ``scores``, float32 (B, h, w), are raw scores, higher is more anomalous; a detector with two
    maps per tile has a second output ``components``, float32 (B, 2, h, w). Weights are float32 and within the file,
    facts are JSON under the key ``seamark`` of its metadata.

    Parameters
    ----------
    path : Path
        File to write.
    detector : Detector
        Trained; it is moved to the CPU.

    Returns
    -------
    GraphFacts
        What the graph says of itself.

    Raises
    ------
    ConfigError
        If the package onnx is not installed, or the weights do not fit into a file of 2 GiB.
    """
    onnx, network = _onnx(), _TileScores(detector).cpu().eval()
    components = detector.components if isinstance(detector, ComponentDetector) else ()
    facts = GraphFacts(
        detector=type(detector).__name__,
        tile_shape=detector.tile_shape,
        map_shape=detector.map_shape,
        components=components,
        cells=detector.cells,
        backbone=detector.backbone.name,
        backbone_digest=detector.backbone.digest,
        opset=OPSET,
        versions={name: version(name) for name in ("onnx", "seamark", "torch")},
    )
    needed = sum(tensor.numel() * tensor.element_size() for tensor in network.state_dict().values())
    if needed > MOST_BYTES:
        raise ConfigError(
            f"{path}: the weights of {facts.detector} are {needed} bytes, but a graph holds at most {MOST_BYTES}; "
            "export one with a smaller backbone or bank"
        )
    outputs = [SCORES, *([COMPONENTS] if components else [])]
    tiles = torch.zeros(BATCH, *detector.tile_shape, 3, dtype=torch.uint8)
    with atomic_write(path) as draft:
        _trace(network, tiles, draft, outputs)
        model = onnx.load(draft)
        onnx.helper.set_model_props(model, {FACTS: facts.model_dump_json()})
        onnx.save(model, draft)
    return facts


def _trace(network: nn.Module, tiles: Tensor, target: Path, outputs: Sequence[str]) -> None:
    with warnings.catch_warnings(), torch.no_grad(), plain_form(), _own_resizing():
        warnings.simplefilter("ignore")  # sides of tiles become constants of the graph, as they shall
        torch.onnx.export(
            network,
            (tiles,),
            str(target),
            dynamo=False,
            opset_version=OPSET,
            input_names=[TILES],
            output_names=outputs,
            dynamic_axes={name: {0: "batch"} for name in (TILES, *outputs)},
        )


@contextmanager
def _own_resizing() -> Iterator[None]:
    """Write resizing as products with constants: libraries differ in it at borders, and torch writes not all of it."""
    for name, how in _RESIZING.items():
        _EXPORTER.register_custom_op_symbolic(name, partial(_resize, how), OPSET)
    try:
        yield
    finally:
        for name in _RESIZING:
            _EXPORTER.unregister_custom_op_symbolic(name, OPSET)


def _resize(how: tuple[str, bool], graph: Any, images: Any, *arguments: Any) -> Any:
    """Write one resizing, which is linear along each axis, with the weights that torch gives to pixels."""
    constant, (_size, corners, factors), (mode, antialias) = _EXPORTER.symbolic_helper._get_const, arguments, how
    given = next(graph.original_node.inputs()).type().sizes()[2:]
    wanted = graph.original_node.output().type().sizes()[2:]
    scales = None if _EXPORTER.symbolic_helper._is_none(factors) else constant(factors, "fs", "factors")
    aligned = bool(constant(corners, "b", "corners"))
    axes = [
        functional.interpolate(
            torch.eye(side, dtype=torch.float64).view(1, 1, side, side),
            size=(wanted[axis], side) if scales is None else None,
            scale_factor=None if scales is None else [scales[axis], 1.0],
            mode=mode,
            align_corners=aligned,
            antialias=antialias,
        )[0, 0]
        for axis, side in enumerate(given)
    ]
    rows, columns = (graph.op("Constant", value_t=weights.float()) for weights in (axes[0], axes[1].T.contiguous()))
    return graph.op("MatMul", graph.op("MatMul", rows, images), columns)


def _onnx() -> ModuleType:
    try:
        import onnx  # noqa: PLC0415  (an extra)
    except ImportError as error:
        raise needs_extra("onnx", error) from error
    return onnx
