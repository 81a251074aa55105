"""Convolutional networks as frozen backbones, and as pyramids that are trained."""

import math
from collections.abc import Collection, Iterable
from itertools import accumulate

import torch
from torch import Tensor, nn
from torch.nn import functional

from seamark.backbones.base import Backbone
from seamark.backbones.families import FAMILIES
from seamark.backbones.table import PublishedBackbone

MARGIN_PX = 32
"""Mirrored border that a frozen network gets around its input and that is cut off its features."""


def run_parts(parts: Iterable[nn.Module], batch: Tensor, chosen: Collection[int]) -> list[Tensor]:
    """Run parts one after the other and return what the chosen ones give, as (B, C_k, H_k, W_k) each."""
    levels = []
    for index, part in enumerate(parts):
        batch = part(batch)
        if index in chosen:
            levels.append(batch)
    return levels


class PyramidNetwork(nn.Module):
    """A pretrained convolutional network to be trained: three levels at strides 4, 8 and 16, batch norms in place.

    Every parameter has a part in the coarsest level. Nothing is done about the padding with zeros, as in the papers
    whose teachers such networks are.

    Attributes
    ----------
    channels : tuple of int
        Features of each level, fine to coarse.
    """

    def __init__(self, row: PublishedBackbone, network: nn.Module) -> None:
        super().__init__()
        self.chosen = row.pyramid_layers
        first, second, third = (row.channels[layer] for layer in self.chosen)
        self.channels = (first, second, third)
        self.parts = nn.ModuleList(FAMILIES[row.family].parts(network)[: self.chosen[-1] + 1])

    def forward(self, batch: Tensor) -> list[Tensor]:
        """Return the levels.

        Parameters
        ----------
        batch : Tensor of float32, shape (B, 3, H, W)
            As :meth:`seamark.backbones.base.Backbone.normalise` gives it; H and W are multiples of 16.

        Returns
        -------
        list of Tensor
            (B, C_k, H / s, W / s) for s = 4, 8, 16.
        """
        return run_parts(self.parts, batch, self.chosen)


class ConvolutionalBackbone(Backbone):
    """The layers of a convolutional network, usable as a pyramid and as a token stack.

    The layers of a convolutional network differ in grid, width and magnitude, and a detector that averages token layers
    (as those for vision transformers do) would mix channels that have nothing to do with each other. So the stack is
    built as follows. Each chosen layer is interpolated to the finest chosen grid (bilinear, cell centres aligned), is
    multiplied with a constant, and fills a slice of its own in D = sum of C_k channels, with zeros elsewhere. Then

    - a cosine between two tokens of one layer is the cosine of that layer's features, because the zeros and the
      constant cancel;
    - the mean over the layers is the concatenation of the layers divided by their number, so nothing is lost in it;
    - layers weigh alike in the concatenation, because the constants bring tokens of every layer to the typical length
      sqrt(D), which makes single features of order one. The typical length of a layer is the root mean square over
      the tokens of 13 photographs inside scikit-image at 512 px; nothing depends on the data at hand. Where it is not
      known (ResNets), the constant is 1.

    All widths are multiples of 8, so D is one too and 8 heads divide it without padding.

    The network pads with zeros, which makes tokens at the border of a tile unlike all others. So the input gets a
    mirrored margin, which is cut off the features again.

    Parameters
    ----------
    row : PublishedBackbone
        Row of the table of a convolutional backbone.
    network : Module
        The network with its weights; it is folded in place.
    digest : str
        SHA-256 of the file of weights, or ``random``.
    chosen : tuple of int
        Layers.
    margin : bool
        Whether the input gets the margin; without it features are those of :class:`PyramidNetwork`.
    """

    def __init__(
        self, row: PublishedBackbone, network: nn.Module, digest: str, chosen: tuple[int, ...], *, margin: bool = True
    ) -> None:
        widths = [row.channels[layer] for layer in chosen]
        super().__init__(row, digest, chosen, sum(widths))
        ends = list(accumulate(widths))
        self.slices = tuple(slice(end - width, end) for end, width in zip(ends, widths, strict=True))
        lengths = [row.lengths[layer] for layer in chosen] if row.lengths else [math.sqrt(self.embed_dim)] * len(chosen)
        self.scales = tuple(math.sqrt(self.embed_dim) / length for length in lengths)
        self.margin = margin
        family = FAMILIES[row.family]
        family.fold(network)
        self.parts = nn.ModuleList(family.parts(network)[: max(chosen) + 1])

    def _features(self, batch: Tensor) -> list[Tensor]:
        # Mirroring needs a margin that is less than the sides.
        margin = min(MARGIN_PX, min(batch.shape[2:]) - 1) // self.multiple * self.multiple if self.margin else 0
        padded = functional.pad(batch, (margin,) * 4, mode="reflect") if margin else batch
        levels = self._levels(padded)
        cells = [margin * level.shape[2] // padded.shape[2] for level in levels]
        return [functional.pad(level, (-cut,) * 4) for level, cut in zip(levels, cells, strict=True)]

    def _levels(self, padded: Tensor) -> list[Tensor]:
        return run_parts(self.parts, padded, self.chosen)

    @torch.no_grad()
    def tokens(self, batch: Tensor) -> list[Tensor]:  # noqa: D102
        grid = self.grid_shape(*batch.shape[2:])
        stack = []
        for level, filled, scale in zip(self.pyramid(batch), self.slices, self.scales, strict=True):
            resized = level if level.shape[2:] == grid else functional.interpolate(level, grid, mode="bilinear")
            tokens = resized.flatten(2).transpose(1, 2) * scale
            stack.append(functional.pad(tokens, (filled.start, self.embed_dim - filled.stop)))
        return stack
