"""The autoencoder of EfficientAD, as it is trained and as it scores.

Source: Batzner et al., WACV 2024 (docs/methods/efficientad.md#networks).
"""

from itertools import pairwise

from torch import Tensor, nn
from torch.nn import functional

from seamark.detectors.efficientad.folded_networks import bias_of, fastest_convolution

AUTOENCODER_PX = 256
"""Side of the autoencoder's input; its code is one vector."""
DECODER_SIDES = (3, 8, 15, 32, 63, 127)
"""Rows and columns to which the decoder interpolates before each convolution."""


class Autoencoder(nn.Module):
    """The autoencoder: 256 x 256 px become one vector of 64 numbers, and that becomes a map of so many outputs."""

    def __init__(self, outputs: int) -> None:
        super().__init__()
        widths = (3, 32, 32, 64, 64, 64)
        self.encoder = nn.ModuleList(
            nn.Conv2d(before, after, 4, stride=2, padding=1) for before, after in pairwise(widths)
        )
        self.code = nn.Conv2d(64, 64, 8)
        self.decoder = nn.ModuleList(nn.Conv2d(64, 64, 4, padding=2) for _ in DECODER_SIDES)
        self.penultimate = nn.Conv2d(64, 64, 3, padding=1)
        self.head = nn.Conv2d(64, outputs, 3, padding=1)
        self.dropout = nn.Dropout(0.2)

    def forward(self, images: Tensor, grid: tuple[int, int]) -> Tensor:
        """Return features.

        Parameters
        ----------
        images : Tensor of float32, shape (B, 3, H, W)
            Normalised; other sizes than 256 x 256 px are resized.
        grid : tuple of int
            Rows and columns of the map, those of the PDN.

        Returns
        -------
        Tensor
            (B, C, rows, columns).
        """
        features = self.encoded(images)
        for side, convolution in zip(DECODER_SIDES, self.decoder, strict=True):
            resized = functional.interpolate(features, (side, side), mode="bilinear")
            features = self.dropout(functional.relu(convolution(resized)))
        features = functional.interpolate(features, grid, mode="bilinear")
        result: Tensor = self.head(functional.relu(self.penultimate(features)))
        return result

    def encoded(self, images: Tensor) -> Tensor:
        """Return the code (B, 64, 1, 1) of normalised images (B, 3, H, W)."""
        features = thumbnail(images)
        for convolution in self.encoder:
            features = functional.relu(convolution(features))
        code: Tensor = self.code(features)
        return code


def thumbnail(images: Tensor) -> Tensor:
    """Return images (B, 3, 256, 256) of images of any size."""
    side = AUTOENCODER_PX
    if images.shape[2:] == (side, side):
        return images
    return functional.interpolate(images, (side, side), mode="bilinear", antialias=True)


class FoldedAutoencoder:
    """The autoencoder with weights that no longer change, without dropout."""

    def __init__(self, network: Autoencoder) -> None:
        self.network = network
        layers = [part for part in (*network.decoder, network.penultimate, network.head) if isinstance(part, nn.Conv2d)]
        self.paddings = [layer.kernel_size[0] // 2 for layer in layers]
        self.convolutions = [fastest_convolution(layer.weight, bias_of(layer)) for layer in layers]

    def __call__(self, images: Tensor, grid: tuple[int, int]) -> Tensor:
        """Return features (B, C, *grid) of normalised images (B, 3, H, W)."""
        features = self.network.encoded(images)
        sides = [*((side, side) for side in DECODER_SIDES), grid, grid]
        for number, (side, layer) in enumerate(zip(sides, self.convolutions, strict=True)):
            if features.shape[2:] != side:
                features = functional.interpolate(features, side, mode="bilinear")
            features = layer(functional.pad(features, (self.paddings[number],) * 4))
            if number < len(sides) - 1:
                features = functional.relu(features)
        return features
