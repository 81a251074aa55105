"""Scores of tiles by a graph in the ONNX format, which onnxruntime computes; torch is not loaded."""

from pathlib import Path
from typing import Any

import numpy as np

from seamark.errors import ConfigError, DataError, ManifestError
from seamark.files.images import Float32Array, UInt8Array
from seamark.files.plain import require_plain_file, shown
from seamark.manifests.base import Record
from seamark.manifests.tilemaps import CellGeometry

FACTS = "seamark"
"""Key of the facts, as JSON, among a graph's metadata."""
TILES, SCORES, COMPONENTS = "tiles", "scores", "components"
"""Names of the graph's input and outputs."""
MOST_BYTES = (1 << 31) - 1
"""Largest file of a graph: what its encoding, protocol buffers, can address."""


class GraphFacts(Record):
    """What a graph says of itself."""

    detector: str
    """Name of the detector's class."""
    tile_shape: tuple[int, int]
    """Height and width of the tiles in px."""
    map_shape: tuple[int, int]
    """Rows and columns of score cells."""
    components: tuple[str, ...]
    """Names of the two maps whose mean the scores are; empty for a detector without."""
    cells: CellGeometry
    """Where the cells lie in a tile."""
    backbone: str
    backbone_digest: str
    """SHA-256 of the file of pretrained weights, or ``random``."""
    opset: int
    """Version of ONNX's operators."""
    versions: dict[str, str]
    """Of the packages that wrote it."""


class OnnxScorer:
    """A graph that turns stored tiles into score cells, on the CPU; may be called from several threads.

    Parameters
    ----------
    path : Path
        File that :func:`seamark.export.onnx_writing.write_onnx` wrote; it is not needed any more afterwards.

    Attributes
    ----------
    facts : GraphFacts
        What the graph says of itself.

    Raises
    ------
    ConfigError
        If onnxruntime is not installed.
    ManifestError
        If the file is missing, damaged or not such a graph.
    """

    def __init__(self, path: Path) -> None:
        runtime = _onnxruntime()
        options = runtime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        try:
            require_plain_file(path, MOST_BYTES)
            self._session = runtime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
            self.facts = GraphFacts.model_validate_json(self._session.get_modelmeta().custom_metadata_map[FACTS])
        except Exception as error:  # onnxruntime's own errors have nothing else in common
            raise ManifestError(
                f"{shown(path)}: not a graph of a detector ({shown(str(error))}); export it again"
            ) from error

    @property
    def cells(self) -> CellGeometry:
        """Where the cells of a tile map lie in a tile."""
        return self.facts.cells

    def __call__(self, tiles: UInt8Array) -> tuple[Float32Array, Float32Array | None]:
        """Score tiles one by one, so that what a tile gets depends on no other.

        Parameters
        ----------
        tiles : ndarray of uint8, shape (T, H, W, C)
            Stored tiles, C = 1 (grey) or 3 (R, G, B).

        Returns
        -------
        scores : ndarray of float32, shape (T, h, w)
            Raw scores, higher is more anomalous.
        components : ndarray of float32, shape (T, 2, h, w), or None
            The two maps whose mean they are, of a detector that has such.

        Raises
        ------
        DataError
            If tiles have another form or scores are not finite.
        """
        height, width = self.facts.tile_shape
        taken = [(height, width, channels) for channels in (1, 3)]
        if tiles.dtype != np.uint8 or not len(tiles) or tiles.shape[1:] not in taken:
            raise DataError(
                f"tiles: {tiles.dtype} {tiles.shape}, but the graph takes uint8 (T, {height}, {width}, 1 or 3); "
                "cut them by the grid that its detector was trained with"
            )
        colours = np.broadcast_to(tiles, (*tiles.shape[:3], 3))
        found = [self._session.run(None, {TILES: np.ascontiguousarray(tile[np.newaxis])}) for tile in colours]
        outputs: list[Float32Array] = [np.concatenate(parts) for parts in zip(*found, strict=True)]
        if not np.isfinite(outputs[0]).all():
            raise DataError("scores are not finite; the graph is damaged, export it again")
        return outputs[0], outputs[1] if self.facts.components else None


def _onnxruntime() -> Any:
    try:
        import onnxruntime  # noqa: PLC0415  (an extra)
    except ImportError as error:
        raise needs_extra("onnxruntime", error) from error
    return onnxruntime


def needs_extra(package: str, error: ImportError) -> ConfigError:
    """Return the error that says how a missing package is installed."""
    return ConfigError(f"ONNX needs the package {package} ({error}); install it with: pip install 'seamark[onnx]'")
