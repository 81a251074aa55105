"""The contract of a detector: settings, training phases, scores, and tensors to keep."""

import importlib
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from seamark.backbones.registry import Backbone, load_backbone
from seamark.errors import ConfigError, ManifestError
from seamark.files.images import BoolArray, UInt8Array
from seamark.learning.batches import TrainingTiles
from seamark.learning.phases import Phase
from seamark.manifests.tilemaps import CellGeometry
from seamark.settings.training import DetectorSettings


class Detector(nn.Module, ABC):
    """Scores tiles after training on defect-free ones.

    Parameters
    ----------
    settings : DetectorSettings
        The detector's block of the configuration.
    tile_shape : tuple of int
        Height and width of the tiles in px.
    seed : int
        Seed of the initial weights.

    Attributes
    ----------
    backbone : Backbone
        The frozen network; it is not part of :meth:`state`.
    map_shape : tuple of int
        Height and width of the tile maps.
    """

    Settings: ClassVar[type[DetectorSettings]]

    def __init__(self, settings: DetectorSettings, tile_shape: tuple[int, int], seed: int) -> None:
        super().__init__()
        self.seed = seed
        self.tile_shape = tile_shape
        self.backbone: Backbone = self._load_backbone(settings)
        self.map_shape: tuple[int, int] = self.backbone.grid_shape(*tile_shape)

    def _load_backbone(self, settings: DetectorSettings) -> Backbone:
        """Return the frozen network; a detector that also trains a copy of it loads both at once."""
        return load_backbone(settings.backbone, settings.weights, settings.layers, self.seed)

    @abstractmethod
    def phases(self, tiles: TrainingTiles) -> Sequence[Phase]:
        """Return the training phases in order, at least one; a phase gets its batches from the loop."""

    @abstractmethod
    def score(self, batch: Tensor) -> Tensor:
        """Return the anomaly scores of tiles.

        Parameters
        ----------
        batch : Tensor of float32, shape (B, 3, H, W)
            Normalised as the backbone demands.

        Returns
        -------
        Tensor of float32, shape (B, h, w)
            Higher is more anomalous; finite, and independent of the other tiles of the batch.
        """

    def state(self) -> dict[str, Tensor]:
        """Return what training made, by name: all parameters and buffers but the backbone's."""
        return {name: tensor for name, tensor in self.state_dict().items() if not name.startswith("backbone.")}

    def load(self, state: Mapping[str, Tensor]) -> None:
        """Take over what :meth:`state` gave.

        Raises
        ------
        ManifestError
            If names or shapes differ from what the settings imply.
        """
        own = self.state()
        wrong = sorted(
            name
            for name in own.keys() | state.keys()
            if name not in own or name not in state or own[name].shape != state[name].shape
        )
        if wrong:
            raise ManifestError(
                f"the stored model does not fit the settings of {type(self).__name__}: "
                f"{len(wrong)} tensors differ, first {wrong[0]}; train it again"
            )
        with torch.no_grad():
            for name, tensor in own.items():
                tensor.copy_(state[name])

    @property
    def cells(self) -> CellGeometry:
        """Where the cells of a tile map lie in a tile."""
        stride = tuple(px / cells for px, cells in zip(self.tile_shape, self.map_shape, strict=True))
        return CellGeometry(stride_px=(stride[0], stride[1]), offset_px=(stride[0] / 2, stride[1] / 2))

    def train(self, mode: bool = True) -> "Detector":
        """Switch between training and scoring; the backbone always scores."""
        super().train(mode)
        self.backbone.eval()
        return self


class ComponentDetector(Detector):
    """A detector that gives two maps per tile, on one scale; ``components`` are their names."""

    components: ClassVar[tuple[str, str]]

    @abstractmethod
    def component_scores(self, batch: Tensor) -> Tensor:
        """Return both maps of tiles.

        Parameters
        ----------
        batch : Tensor of float32, shape (B, 3, H, W)
            Normalised as the backbone demands.

        Returns
        -------
        Tensor of float32, shape (B, 2, h, w)
            As for :meth:`score`, of each component.
        """

    @torch.no_grad()
    def score(self, batch: Tensor) -> Tensor:
        """Return the mean of both maps (B, h, w)."""
        first, second = self.component_scores(batch).unbind(dim=1)
        return 0.5 * (first + second)


def use_device(device: str) -> None:
    """Make results repeatable on ``cpu`` or ``cuda:<index>``: one thread on the CPU; no kernels chosen by timing.

    Convolutions on a GPU are of float32 where arithmetic is: torch would let them take TF32, which has ten bits.
    """
    if torch.device(device).type == "cpu":
        torch.set_num_threads(1)
    else:
        torch.backends.cudnn.benchmark = False
        torch.backends.cudnn.deterministic = True
        torch.backends.cudnn.allow_tf32 = False


def arithmetic(device: torch.device, autocast: str) -> AbstractContextManager[Any]:
    """Return a block, for one use, in which forward passes run in the configured arithmetic; on the CPU always float32.

    Raises
    ------
    ConfigError
        If the GPU has no such arithmetic.
    """
    if device.type == "cpu" or autocast == "none":
        return nullcontext()
    if not torch.cuda.is_bf16_supported(including_emulation=False):
        raise ConfigError(
            f"autocast: {autocast}, but {torch.cuda.get_device_name(device)} has none; set autocast: none"
        )
    return torch.autocast(device.type, dtype=getattr(torch, autocast))


def load_detector_class(target: str) -> type[Detector]:
    """Import a detector class by its registry row, ``module:Class``.

    Raises
    ------
    ConfigError
        If there is no such detector.
    """
    module, _, name = target.partition(":")
    try:
        found: Any = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise ConfigError(f"no detector {target!r} ({error}); its registry row must be 'module:Class'") from error
    if not (isinstance(found, type) and issubclass(found, Detector)):
        raise ConfigError(f"{target!r} is not a detector; its registry row must be 'module:Class'")
    return found


def cells_with_content(pixels: UInt8Array, grid: tuple[int, int]) -> BoolArray:
    """Say which cells of a tile hold anything but padding.

    Parameters
    ----------
    pixels : ndarray of uint8, shape (H, W, C)
        A tile; H and W are multiples of the grid's sides.
    grid : tuple of int
        Rows h and columns w.

    Returns
    -------
    ndarray of bool, shape (h, w)
        False where every pixel is 0, as padding is.
    """
    height, width, channels = pixels.shape
    cells = pixels.reshape(grid[0], height // grid[0], grid[1], width // grid[1], channels)
    return np.asarray(cells.any(axis=(1, 3, 4)))


def count_numbers(state: Mapping[str, Tensor]) -> int:
    """Return how many numbers a state holds."""
    return int(np.sum([tensor.numel() for tensor in state.values()], dtype=np.int64))
