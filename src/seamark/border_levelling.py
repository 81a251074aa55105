"""Taking the padding of a convolutional network out of its tokens.

A convolutional backbone pads its maps with zeros, so that tokens near the border of a tile are shifted by an amount
that has nothing to do with the image. The shift is measured on the training tiles as the mean of each border zone minus
the mean of the inside, and subtracted ever after.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from seamark.batches import TrainingTiles
from seamark.detectors.base import cells_with_content
from seamark.phases import ComputedPhase, Track

BORDER_CELLS = 4
"""Cells from the border of a tile in which padding is taken to show."""
SMALLEST_ZONE = 16
"""Tokens below which the mean of a zone is not trusted and nothing is subtracted there."""


def border_zones(grid: tuple[int, int]) -> Tensor:
    """Return the zone of each cell of a tile: cells at the same distance from the same nearby borders share one.

    Parameters
    ----------
    grid : tuple of int
        Rows h and columns w.

    Returns
    -------
    Tensor of int64, shape (h * w,)
        Zone of each cell in row-major order; at most (2 * 4 + 1) squared zones.
    """
    along = []
    for cells in grid:
        reach = min(BORDER_CELLS, (cells - 1) // 2)
        place = torch.arange(cells)
        along.append(place.clamp(max=reach) + (place - (cells - 1 - reach)).clamp(min=0))
    return (along[0][:, None] * (int(along[1].max()) + 1) + along[1]).flatten()


class BorderStatistics(ComputedPhase):
    """Measures the shift of each border zone on the training tiles, padding of the tiles themselves left out.

    Parameters
    ----------
    tokens : callable
        Turns normalised images (B, 3, H, W) into one tensor (B, N, D) per layer.
    zones : Tensor of int64, shape (N,)
        Zone of each token.
    grid : tuple of int
        Rows h and columns w, h * w = N.
    shift : Tensor, shape (layers, zones, D)
        Written to: what is to be subtracted from the tokens of each zone.
    """

    name = "border statistics"

    def __init__(
        self, tokens: Callable[[Tensor], list[Tensor]], zones: Tensor, grid: tuple[int, int], shift: Tensor
    ) -> None:
        self.tokens, self.zones, self.grid, self.shift = tokens, zones, grid, shift

    def run(self, tiles: TrainingTiles, track: Track) -> None:  # noqa: D102
        total = torch.zeros_like(self.shift, dtype=torch.float64)
        count = torch.zeros_like(total[:1, :, :1])
        for tile in track(range(len(tiles.train)), "tiles measured"):
            pixels = tiles.train.pixels(tile)
            content = torch.from_numpy(cells_with_content(pixels, self.grid).ravel()).to(self.zones.device)
            zones = self.zones[content]
            tokens = torch.cat(self.tokens(tiles.train.images([pixels])))[:, content].double()
            total.index_add_(1, zones, tokens)
            count += torch.bincount(zones, minlength=count.shape[1]).view(1, -1, 1)
        inside = int(self.zones.view(self.grid)[self.grid[0] // 2, self.grid[1] // 2])
        mean = total / count.clamp(min=1.0)
        trusted = (count >= SMALLEST_ZONE) & (count[:, inside : inside + 1] >= SMALLEST_ZONE)
        self.shift.copy_(torch.where(trusted, mean - mean[:, inside : inside + 1], 0.0))
