"""URD's student: a mirrored decoder that gets information of the teacher where both agree.

Source: docs/methods/urd.md#networks and docs/methods/urd.md#guided-injection.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F  # noqa: N812  (its usual name)
from torch import Tensor, nn

from seamark.networks.reverse_distillation import MirrorDecoder, OneClassBottleneck, convolution, initialise_as_released
from seamark.settings.urd import InjectionMode


def halved(features: Tensor) -> Tensor:
    """Return features (B, C, H, W) at half the sides: the mean of each 2x2, which is what a bilinear resize gives."""
    return F.avg_pool2d(features, 2)


def similarity(features: Tensor, teacher: Tensor) -> Tensor:
    """Return how alike two maps of features are, cell by cell, without gradient.

    Parameters
    ----------
    features, teacher : Tensor, shape (B, C, H, W)
        Features of the decoder and of the teacher.

    Returns
    -------
    Tensor, shape (B, 1, H, W)
        Cosine, 0..1; negative ones, which only features with negative values can have, count as 0.
    """
    with torch.no_grad():
        return F.cosine_similarity(features, teacher, dim=1).clamp(0.0, 1.0).unsqueeze(1)


class GuidedInjection(nn.Module):
    """Adds the teacher's features to the decoder's, gated by how alike the two are.

    Parameters
    ----------
    shallow, deep : int
        Channels of the teacher's next shallower level and of the level at hand.
    gate : bool
        Whether similarity decides, cell by cell, between the teacher's features and the decoder's own.
    """

    def __init__(self, shallow: int, deep: int, *, gate: bool) -> None:
        super().__init__()
        self.project = convolution(shallow, deep, 1)
        self.fuse_teacher = convolution(deep, deep, 3)
        self.mix = convolution(deep, deep, 3) if gate else None
        self.join = convolution(2 * deep, deep, 3)

    def teacher_information(self, deep: Tensor, shallow: Tensor) -> Tensor:
        """Fuse the teacher's level (B, C, H, W) with its next shallower one (B, C', 2H, 2W)."""
        out: Tensor = self.fuse_teacher(deep + self.project(halved(shallow)))
        return out

    def forward(self, features: Tensor, deep: Tensor, shallow: Tensor) -> Tensor:
        """Map the decoder's features (B, C, H, W) to (B, C, H, W), given the teacher's two levels."""
        information = self.teacher_information(deep, shallow)
        if self.mix is not None:
            alike = similarity(features, deep)
            information = self.mix(alike * information + (1.0 - alike) * features)
        out: Tensor = self.join(torch.cat([features, information], dim=1))
        return out


class Student(nn.Module):
    """Bottleneck, mirrored decoder and two injections: rebuilds a pyramid from the teacher's.

    Parameters
    ----------
    channels : sequence of int
        Channels of the three levels, shallow to deep.
    injection : {"similarity", "concat", "none"}
        With or without the gate, or no injection at all.
    width : float
        Factor of the channels inside bottleneck and decoder.
    signed : bool
        Whether the pyramid has negative features, so that what rebuilds it must not end in a ReLU.
    """

    def __init__(
        self, channels: Sequence[int], injection: InjectionMode, width: float = 1.0, *, signed: bool = False
    ) -> None:
        super().__init__()
        shallow, middle, deep = channels
        self.bottleneck = OneClassBottleneck(channels, width)
        self.decoder = MirrorDecoder(channels, self.bottleneck.outputs, width, signed=signed)
        gate = injection == "similarity"
        pairs = [] if injection == "none" else [(middle, deep), (shallow, middle)]
        self.injections = nn.ModuleList(GuidedInjection(lower, upper, gate=gate) for lower, upper in pairs)
        initialise_as_released(self)

    def forward(self, teacher: Sequence[Tensor]) -> list[Tensor]:
        """Rebuild a pyramid of (B, C_l, H_l, W_l), shallow to deep; no gradient reaches the teacher."""
        shallow, middle, deep = (level.detach() for level in teacher)
        current: Tensor = self.bottleneck((shallow, middle, deep))
        if not self.injections:
            rebuilt: list[Tensor] = self.decoder(current)
            return rebuilt
        levels: list[Tensor] = []
        guides = [(deep, middle), (middle, shallow)]
        for depth, stage in enumerate(self.decoder.stages):
            current = stage(current)
            levels.append(current)
            if depth < len(guides):
                current = self.injections[depth](current, *guides[depth])
        return levels[::-1]
