"""Patch description networks (PDN), teacher and student of EfficientAD.

Source: Batzner et al., "EfficientAD: Accurate Visual Anomaly Detection at Millisecond-Level Latencies", WACV 2024
(docs/methods/efficientad.md#networks). A PDN sees 33 x 33 px per cell, its cells are 4 px apart, and without padding
the middle of cell i is pixel 4 i + 16.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal, cast

from torch import Tensor, nn
from torch.nn import functional

from seamark.settings.teacher import FIELD_PX

STRIDE = 4
"""Pixels between the cells of a PDN."""
CENTRE = 16
"""Pixel in the middle of the first cell of a PDN without padding."""
MARGIN_CELLS = 4
"""Cells that a PDN with padding has more on each side."""

PdnSize = Literal["small", "medium"]


@dataclass(frozen=True)
class PdnConv:
    """One convolution of a PDN, with what follows it."""

    kernel: int
    outputs: int
    padding: int
    """In px on each side, in a network with padding."""
    pooled: bool = False
    """Whether its result, after a ReLU, is averaged over 2 x 2."""


def pdn_layers(size: PdnSize, outputs: int, width: float = 1.0) -> tuple[PdnConv, ...]:
    """Return the convolutions of a PDN.

    Parameters
    ----------
    size : {"small", "medium"}
        PDN-S has four convolutions, PDN-M six.
    outputs : int
        Features per cell.
    width : float
        Factor of the channels inside.

    Returns
    -------
    tuple of PdnConv
        All but the last one end in a ReLU.
    """
    if size == "small":
        inner: tuple[PdnConv, ...] = (
            PdnConv(4, 128, 3, pooled=True),
            PdnConv(4, 256, 3, pooled=True),
            PdnConv(3, 256, 1),
        )
        last: tuple[PdnConv, ...] = (PdnConv(4, outputs, 0),)
    else:
        inner = (
            PdnConv(4, 256, 3, pooled=True),
            PdnConv(4, 512, 3, pooled=True),
            PdnConv(1, 512, 0),
            PdnConv(3, 512, 1),
        )
        last = (PdnConv(4, outputs, 0), PdnConv(1, outputs, 0))
    return (*(replace(layer, outputs=max(1, round(layer.outputs * width))) for layer in inner), *last)


def cell_count(side_px: int) -> int:
    """Return the cells of a PDN without padding along a side of the input; 0 where none fits."""
    return max(0, (side_px - FIELD_PX) // STRIDE + 1)


class Pdn(nn.Module):
    """A patch description network.

    Attributes
    ----------
    convolutions : ModuleList
        Its convolutions, the last one being the head.
    """

    def __init__(self, layers: Sequence[PdnConv]) -> None:
        super().__init__()
        self.layers = tuple(layers)
        inputs = (3, *(layer.outputs for layer in self.layers))
        self.convolutions = nn.ModuleList(
            nn.Conv2d(channels, layer.outputs, layer.kernel)
            for channels, layer in zip(inputs, self.layers, strict=False)
        )

    @property
    def head(self) -> nn.Conv2d:
        """The last convolution."""
        return cast("nn.Conv2d", self.convolutions[-1])

    def trunk(self, images: Tensor, *, padded: bool = False) -> Tensor:
        """Return what the head takes of normalised images (B, 3, H, W)."""
        features = images
        for layer, convolution in zip(self.layers[:-1], self.convolutions[:-1], strict=True):
            if padded and layer.padding:
                features = functional.pad(features, (layer.padding,) * 4)
            features = functional.relu(convolution(features))
            if layer.pooled:
                features = functional.avg_pool2d(features, 2, 2, padding=int(padded))
        return features

    def outputs(self, hidden: Tensor, channels: slice) -> Tensor:
        """Return some of the features of a cell, given what the head takes; half a head costs half."""
        return functional.conv2d(hidden, self.head.weight[channels], cast("Tensor", self.head.bias)[channels])

    def forward(self, images: Tensor, *, padded: bool = False) -> Tensor:
        """Return features.

        Parameters
        ----------
        images : Tensor of float32, shape (B, 3, H, W)
            Normalised with mean and standard deviation of ImageNet.
        padded : bool
            Whether zeros surround images and maps, as in the distillation: cell k then is centred at pixel 4 k, and
            all but the outer four cells are those without padding.

        Returns
        -------
        Tensor
            (B, C, (H - 33) // 4 + 1, (W - 33) // 4 + 1), or (B, C, ceil(H / 4), ceil(W / 4)) with padding.
        """
        features: Tensor = self.head(self.trunk(images, padded=padded))
        return features
