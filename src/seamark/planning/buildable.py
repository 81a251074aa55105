"""Detectors held against their backbones and tiles. Free of torch, as planning is."""

import math
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager

from seamark.backbones.table import PYRAMID_MULTIPLE, published_backbone
from seamark.errors import ConfigError
from seamark.planning.variations import Variation
from seamark.settings.aurd import AurdSettings
from seamark.settings.config import Config
from seamark.settings.efficientad import EfficientAdSettings
from seamark.settings.grid import GridSettings
from seamark.settings.inp_former import InpFormerSettings
from seamark.settings.pfadseg import PfadsegSettings
from seamark.settings.pyramid import PyramidSettings
from seamark.settings.teacher import DISTILLED, require_field
from seamark.settings.training import DetectorSettings

NEED_TWO_TILES = (AurdSettings, PfadsegSettings)
"""Settings of detectors whose batch norms cannot train on a single tile."""


def require_buildable(categories: Sequence[str], variations: Iterable[Variation]) -> None:
    """Refuse detectors that could not be built on their backbone and their tiles.

    Parameters
    ----------
    categories : sequence of str
        Categories of the run.
    variations : iterable of Variation
        The run and its variations.

    Raises
    ------
    ConfigError
        With the first problem of each detector.
    """
    problems: dict[str, None] = {}
    for place, variation in enumerate(variations):
        for config in map(variation.resolved, categories):
            for member in config.fuse.members:
                block = config.detector_blocks[member]
                if not isinstance(block, DetectorSettings):
                    continue
                try:
                    _require_buildable(f"detectors.{member}", block, config.grids[block.grid])
                except ConfigError as error:
                    problems[f"{variation.name}: {error}" if place else str(error)] = None
    if problems:
        raise ConfigError("the detectors cannot be built:\n" + "\n".join(f"  - {problem}" for problem in problems))


def _require_buildable(own: str, block: DetectorSettings, grid: GridSettings) -> None:
    paired = isinstance(block, PyramidSettings | PfadsegSettings)
    with _of(f"{own}.backbone: "):
        row = published_backbone(block.backbone)
        layers = row.pyramid_layers if paired else block.layers
    with _of(f"{own}.layers: "):
        multiple = PYRAMID_MULTIPLE if paired else row.multiple(layers)
    with _of(f"{own} on grids.{block.grid}.input_px {grid.input_px}: "):
        if isinstance(block, EfficientAdSettings):
            require_field("the patch description network", grid.input_shape)
        else:
            row.require_shape(grid.input_shape, multiple)
        stride = min(row.strides[layer] for layer in row.chosen(layers))
        if grid.layout == "cells" and grid.cell_px % stride:
            raise ConfigError(f"cells of cell_px {grid.cell_px} are no whole ones of {stride} px; set it to {multiple}")
    with _of(f"{own}."):
        if isinstance(block, InpFormerSettings):
            block.token_groups(len(row.chosen(layers)))
            block.head_count(row.token_width(layers))
        if isinstance(block, PfadsegSettings):
            block.require_turnable(grid.input_shape)
        if isinstance(block, EfficientAdSettings) and block.teacher == DISTILLED:
            _require_distillable(block, row.name, multiple)


@contextmanager
def _of(setting: str) -> Iterator[None]:
    """Put what a setting is called before what is refused."""
    try:
        yield
    except ConfigError as error:
        raise ConfigError(f"{setting}{error}") from error


def _require_distillable(block: EfficientAdSettings, backbone: str, multiple: int) -> None:
    """Refuse crops of which the backbone, which sees twice their side, cannot make whole cells."""
    side, step = block.distill.input_px, math.lcm(32, multiple // math.gcd(multiple, 2))
    if 2 * side % multiple:
        raise ConfigError(f"distill.input_px {side}: the backbone {backbone} needs a multiple of {step} px")


def too_few_tiles(config: Config, photographs: int) -> str | None:
    """Say which detector gets a single tile to train with, the model of a fold too, where it needs two."""
    folds = config.crossfit.folds
    held_out = math.ceil(photographs / folds) if folds else config.crossfit.held_out(photographs)
    least = photographs - held_out
    for member in config.fuse.members:
        block = config.detector_blocks[member]
        whole = isinstance(block, DetectorSettings) and config.grids[block.grid].layout == "whole"
        if whole and least * len(config.light_variants.versions("train")) == 1 and isinstance(block, NEED_TWO_TILES):
            return (
                f"detectors.{member} trains on at least 2 tiles, and one photograph on the grid {block.grid} is one; "
                "add training photographs, or set light_variants.train_variants or a grid of several tiles"
            )
    return None
