"""The networks of PFADSeg: a student rebuilds a teacher's clean features, a segmentation network reads the difference.

Sources: DeSTSeg (Zhang et al., CVPR 2023) and PFADSeg (docs/methods/pfadseg.md#student). Channels follow the
teacher: for ResNet18 (64, 128, 256) all sizes are the published ones.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F  # noqa: N812  (its usual name)
from torch import Tensor, nn

from seamark.detectors.pfadseg.attention import AttentionBlock, RectangularCalibration
from seamark.networks.reverse_distillation import convolution, inner_width
from seamark.networks.segmentation_network import AtrousPyramid, resized
from seamark.settings.pfadseg import AttentionSettings


class DenoisingStudent(nn.Module):
    """Encoder and decoder without connections between them; only the sizes of the encoder's levels are taken over.

    Parameters
    ----------
    channels : sequence of int
        Channels of the teacher's levels at strides 4, 8 and 16.
    settings : AttentionSettings
        Which parts have attention.
    width : float
        Factor of the channels inside.
    signed : bool
        Whether the teacher's features can be negative; then no level ends in a ReLU.
    """

    def __init__(
        self, channels: Sequence[int], settings: AttentionSettings, width: float = 1.0, *, signed: bool = False
    ) -> None:
        super().__init__()
        first, second, third = (inner_width(level, width) for level in channels)
        inside = (first, second, third, 2 * third)
        self.stem = nn.Sequential(
            nn.Conv2d(3, first, 7, 2, 3, bias=False), nn.BatchNorm2d(first), nn.ReLU(), nn.MaxPool2d(3, 2, 1)
        )
        nn.init.kaiming_normal_(self.stem.get_parameter("0.weight"), mode="fan_out", nonlinearity="relu")
        self.encoder = nn.ModuleList(
            nn.Sequential(
                AttentionBlock(before, after, settings, stride=1 if level == 0 else 2),
                AttentionBlock(after, after, settings),
            )
            for level, (before, after) in enumerate(zip((first, *inside), inside, strict=False))
        )
        if not settings.aff:
            _start_as_identity(self.encoder)
        outputs = (*channels, 2 * third)
        self.decoder = nn.ModuleList(
            _decoder_stage(
                outputs[min(level + 1, 3)], inside[level], outputs[level], settings, signed=signed and level < 3
            )
            for level in range(4)
        )

    def forward(self, images: Tensor) -> list[Tensor]:
        """Return the levels (B, C_l, H / s, W / s) for s = 4, 8, 16 of normalised images (B, 3, H, W)."""
        features, shapes = self.stem(images), []
        for stage in self.encoder:
            features = stage(features)
            shapes.append((features.shape[2], features.shape[3]))
        levels: list[Tensor] = []
        for stage, shape in zip(reversed(self.decoder), reversed(shapes), strict=True):
            if features.shape[2:] != shape:
                features = F.interpolate(features, shape, mode="bilinear")
            features = stage(features)
            levels.append(features)
        return levels[:0:-1]


def _decoder_stage(
    inputs: int, width: int, outputs: int, settings: AttentionSettings, *, signed: bool
) -> nn.Sequential:
    plain = settings.of_decoder()
    return nn.Sequential(AttentionBlock(inputs, width, plain), AttentionBlock(width, outputs, plain, signed=signed))


def _start_as_identity(encoder: nn.ModuleList) -> None:
    """Set the last norm of every block to zero, as DeSTSeg's encoder starts (docs/methods/pfadseg.md#student)."""
    for block in [module for module in encoder.modules() if isinstance(module, AttentionBlock)]:
        nn.init.zeros_(block.branch.get_parameter("2.weight"))


class GuidedSegmentation(nn.Module):
    """Two residual blocks, rectangular calibration (or atrous pyramid) and head."""

    def __init__(self, channels: Sequence[int], width: int, settings: AttentionSettings) -> None:
        super().__init__()
        self.first = AttentionBlock(sum(channels), width, settings)
        self.second = AttentionBlock(width, width, settings)
        self.context = RectangularCalibration(width, settings.layer_scale) if settings.rcm else AtrousPyramid(width)
        self.head = nn.Sequential(convolution(width, width, 3), nn.Conv2d(width, 1, 1))

    def forward(self, levels: Sequence[Tensor]) -> Tensor:
        """Return logits (B, h, w) of products of features (B, C_l, H_l, W_l); h and w are those of the first level."""
        shape = (levels[0].shape[2], levels[0].shape[3])
        stack = torch.cat([resized(level, shape) for level in levels], dim=1)
        out: Tensor = self.head(self.context(self.second(self.first(stack))))
        return out[:, 0]

    def layer_scale(self) -> Tensor | None:
        """Return the largest factor of the calibration's branch, which tells whether it takes part; None without."""
        return self.context.scale.detach().abs().max() if isinstance(self.context, RectangularCalibration) else None
