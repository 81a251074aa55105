"""The backbones: what they are, what they cost, and which file holds their weights. Planning reads it without torch.

Beside those of the table there are the models of timm, by names such as ``timm:vit_small_patch16_dinov3``; what timm
knows of one is asked in a process of its own.

``forward_mb`` is what one forward pass without gradients takes per megapixel of its input, besides the parameters, with
one thread on the CPU: ``python benchmarks/forecast.py networks``. A test compares parameters, strides and channels with
the networks.
"""

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal

from seamark.errors import ConfigError
from seamark.weights.finding import WeightsSource
from seamark.weights.published import dinov2_file, efficientnet_lite0_file, resnet_file, timm_file

TIMM = "timm:"
"""Beginning of the names of timm's models."""

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
PYRAMID_STRIDES = (4, 8, 16)
"""Pixels per cell of the three levels of a pyramid that is trained."""
PYRAMID_MULTIPLE = 32
"""Sides of tiles are multiples of it where a student embeds the three levels into cells of half the coarsest grid."""


def require_multiple(called: str, shape: tuple[int, int], multiple: int) -> None:
    """Refuse tiles that do not divide into whole cells.

    Parameters
    ----------
    called : str
        Who asks and for what, for the message: ``aand: tile``.
    shape : tuple of int
        Height and width of a tile in px.
    multiple : int
        Pixels of the coarsest cell.

    Raises
    ------
    ConfigError
        If a side is not a positive multiple, with the nearest ones.
    """
    for what, side in zip(("height", "width"), shape, strict=True):
        if side < multiple or side % multiple:
            below = max(side // multiple, 1) * multiple
            raise ConfigError(
                f"{called} {what} {side} px is not a positive multiple of {multiple} px; "
                f"set the grid's input_px to {below} or {below + multiple}"
            )


@dataclass(frozen=True, kw_only=True)
class BackboneShape:
    """Input and layers of a frozen network."""

    name: str
    strides: tuple[int, ...]
    """Pixels of the input per cell of the grid, for each layer that can be chosen (0-based)."""
    channels: tuple[int, ...]
    """Features per cell of each layer."""
    mean: tuple[float, float, float] = IMAGENET_MEAN
    """Mean of each channel (R, G, B) for intensities in 0..1."""
    std: tuple[float, float, float] = IMAGENET_STD
    """Standard deviation of each channel (R, G, B) for intensities in 0..1."""
    fixed_shape: tuple[int, int] | None = None
    """The only height and width in px that it works at, if it does at one only."""

    def require_shape(self, shape: tuple[int, int], multiple: int) -> None:
        """Refuse tiles, height and width in px, that it cannot work at or that do not divide into whole cells.

        Raises
        ------
        ConfigError
            With a size that does.
        """
        if self.fixed_shape not in (None, shape):
            raise ConfigError(
                f"{self.name}: input of {shape[0]} x {shape[1]} px; the network works at {self.fixed_shape} px only; "
                "set the grid's input_px to that, or take another backbone"
            )
        require_multiple(f"{self.name}: input", shape, multiple)


@dataclass(frozen=True, kw_only=True)
class PublishedBackbone(BackboneShape):
    """One backbone that settings can name."""

    family: Literal["efficientnet_lite", "dinov2", "resnet", "timm"]
    """How the network is built and comes apart (``seamark.backbones.families``)."""
    layers: tuple[int, ...]
    """Layers that are chosen by default, shallow to deep."""
    parameters: int
    """Numbers in it, in float32, batch norms folded."""
    forward_mb: float
    """MB per megapixel of input."""
    weights: WeightsSource
    heads: int = 0
    """Attention heads of a vision transformer."""
    lengths: tuple[float, ...] = ()
    """Typical length of each layer's feature vectors, where a token stack needs them to weigh layers alike."""

    @property
    def parameters_mb(self) -> float:
        """Memory of the parameters in MB."""
        return 4 * self.parameters / 1e6

    @property
    def one_grid(self) -> bool:
        """Whether all layers have their grid and width in common, as those of vision transformers."""
        return len(set(self.strides)) == len(set(self.channels)) == 1

    @property
    def pyramid_layers(self) -> tuple[int, int, int]:
        """Layers at strides 4, 8 and 16.

        Raises
        ------
        ConfigError
            If it has no such layers.
        """
        if not set(PYRAMID_STRIDES) <= set(self.strides):
            raise ConfigError(
                f"backbone {self.name} has no levels at strides 4, 8 and 16, because it is no convolutional network; "
                "set for example `backbone: efficientnet_lite0` or `backbone: wide_resnet50_2`"
            )
        first, second, third = (self.strides.index(stride) for stride in PYRAMID_STRIDES)
        return first, second, third

    def chosen(self, layers: Sequence[int] | None) -> tuple[int, ...]:
        """Return the layers that a setting chooses: its own, or the backbone's choice for None.

        Raises
        ------
        ConfigError
            If a layer does not exist, or they are not in increasing order.
        """
        chosen = self.layers if layers is None else tuple(layers)
        count = len(self.strides)
        if not chosen or list(chosen) != sorted(set(chosen)) or min(chosen) < 0 or max(chosen) >= count:
            raise ConfigError(
                f"{self.name}: layers {list(chosen)}; expected increasing numbers within 0..{count - 1}, "
                f"for example {list(self.layers)}"
            )
        return chosen

    def multiple(self, layers: Sequence[int] | None) -> int:
        """Return the px of the coarsest cell of the chosen layers, of which the sides of tiles are multiples."""
        return max(self.strides[layer] for layer in self.chosen(layers))

    def token_width(self, layers: Sequence[int] | None) -> int:
        """Return the width of a token: layers of a transformer have one in common, others lie side by side in it."""
        widths = [self.channels[layer] for layer in self.chosen(layers)]
        return widths[0] if self.one_grid else sum(widths)

    def token_floats(self, layers: Sequence[int] | None) -> float:
        """Return how many numbers per px of input the chosen layers give on the finest of their grids."""
        chosen = self.chosen(layers)
        return sum(self.channels[layer] for layer in chosen) / min(self.strides[layer] for layer in chosen) ** 2

    def pyramid_floats(self) -> float:
        """Return how many numbers per px of input the levels at strides 4, 8 and 16 give, each on its own grid."""
        levels = [(stride, width) for stride, width in zip(self.strides, self.channels, strict=True) if stride > 2]
        return sum(width / stride**2 for stride, width in levels[:3])


WIDEST_COPIES = 10.0
"""Memory of a forward pass of timm's models relative to the largest output of a module in it: 3.5 to 10 times it in
``python benchmarks/forecast.py --networks`` with ResNet-18 and -50, ConvNeXt-T, ConvNeXt V2 atto, EfficientNet-B0,
Swin-T, DINOv3, DINOv2 and EVA-02 ViT-S, SigLIP ViT-B."""


def _dinov2(
    size: str, width: int, layers: range, *, depth: int, parameters: int, forward_mb: float, sha256: str, length: int
) -> PublishedBackbone:
    return PublishedBackbone(
        name=f"dinov2_vit{size}14_reg",
        family="dinov2",
        strides=(14,) * depth,
        channels=(width,) * depth,
        layers=tuple(layers),
        heads=width // 64,
        parameters=parameters,
        forward_mb=forward_mb,
        weights=dinov2_file(size, sha256, length),
    )


def _resnet(
    name: str, channels: tuple[int, int, int], *, parameters: int, forward_mb: float, sha256: str, length: int | None
) -> PublishedBackbone:
    return PublishedBackbone(
        name=name,
        family="resnet",
        strides=PYRAMID_STRIDES,
        channels=channels,
        layers=(1, 2),
        parameters=parameters,
        forward_mb=forward_mb,
        weights=resnet_file(name, sha256, length),
    )


_EFFICIENTNET_LITE0 = PublishedBackbone(
    name="efficientnet_lite0",
    family="efficientnet_lite",
    strides=(2, 4, 8, 16, 32),
    channels=(16, 24, 40, 112, 320),
    mean=(127 / 255, 127 / 255, 127 / 255),
    std=(128 / 255, 128 / 255, 128 / 255),
    layers=(2, 3),
    parameters=692_688,
    forward_mb=449.0,
    weights=efficientnet_lite0_file("579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db", 18826032),
    lengths=(23.0, 39.8, 44.6, 58.0, 50.1),
)

BACKBONES: dict[str, PublishedBackbone] = {
    row.name: row
    for row in (
        _EFFICIENTNET_LITE0,
        _dinov2(
            "s",
            384,
            range(2, 10),
            depth=12,
            parameters=22_058_112,
            forward_mb=262.0,
            sha256="f433177089a681826f849f194ece3bb48f4d63fb38d32fc837e3dc7a4e5641fb",
            length=88291785,
        ),
        _dinov2(
            "b",
            768,
            range(2, 10),
            depth=12,
            parameters=86_583_552,
            forward_mb=521.0,
            sha256="73182a088cf94833c94b1666d1c99e02fe87e2007bff57b564fb6206e25dba71",
            length=346393545,
        ),
        _dinov2(
            "l",
            1024,
            range(4, 19, 2),
            depth=24,
            parameters=304_372_736,
            forward_mb=700.0,
            sha256="36e4deffbaef061a2576705b0c36f93621e2ae20bf6274694821b0b492551b51",
            length=1217607321,
        ),
        _resnet(
            "resnet18",
            (64, 128, 256),
            parameters=2_780_544,
            forward_mb=248.0,
            sha256="f37072fd47e89c5e827621c5baffa7500819f7896bbacec160b1a16c560e07ec",
            length=46830571,
        ),
        _resnet(
            "resnet34",
            (64, 128, 256),
            parameters=8_165_376,
            forward_mb=248.0,
            sha256="b627a593bcbe140c234610266fe4f8ae95ea42fc881d091c9b6052e6b1d0590f",
            length=87319819,
        ),
        _resnet(
            "resnet50",
            (256, 512, 1024),
            parameters=8_528_000,
            forward_mb=592.0,
            sha256="0676ba61b6795bbe1773cffd859882e5e297624d384b6993f7c9e683e722fb8a",
            length=102530333,
        ),
        _resnet(
            "wide_resnet50_2",
            (256, 512, 1024),
            parameters=24_842_752,
            forward_mb=636.0,
            sha256="95faca4d11227dddf8633dbb5ff6c8a9003c1aa5b8945c73834b8007b10950b8",
            length=138223492,
        ),
        _resnet(
            "wide_resnet101_2",
            (256, 512, 1024),
            parameters=82_811_392,
            forward_mb=636.0,
            sha256="32ee1156",
            length=None,
        ),
    )
}
"""All backbones by name."""


def published_backbone(name: str) -> PublishedBackbone:
    """Return the row of a backbone.

    Raises
    ------
    ConfigError
        If there is no such name.
    """
    if name.startswith(TIMM):
        described, refusal = _asked_of_timm(name)
        if refusal:
            raise ConfigError(refusal)
        return timm_backbone(name, json.loads(described))
    if name not in BACKBONES:
        raise ConfigError(
            f"no backbone named {name}; possible: {', '.join(BACKBONES)}, and {TIMM}<name> for the models of timm"
        )
    return BACKBONES[name]


@cache
def _asked_of_timm(name: str) -> tuple[str, str]:
    """Return how timm describes a model, or why not; torch, which timm needs, stays out of this process."""
    source = str(Path(__file__).parents[2])
    asked = subprocess.run(
        [sys.executable, "-m", "seamark.networks.timm_models", name.removeprefix(TIMM)],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, [source, os.environ.get("PYTHONPATH")]))},
        capture_output=True,
        text=True,
        check=False,
    )
    *_, last = [f"asking timm ended with {asked.returncode}", *asked.stderr.strip().splitlines()]
    return asked.stdout, last if asked.returncode else ""


def timm_backbone(name: str, facts: Mapping[str, Any]) -> PublishedBackbone:
    """Return the row of a model of timm.

    Parameters
    ----------
    name : str
        Its name, with ``timm:`` before it.
    facts : mapping
        As :func:`seamark.networks.timm_models.describe` gives them.
    """
    strides, channels = tuple(facts["strides"]), tuple(facts["channels"])
    depth, one_grid = len(strides), len(set(strides)) == 1
    middle = [depth * twelfth // 12 for twelfth in range(2, 10)] if one_grid else []
    levels = [layer for layer, stride in enumerate(strides) if stride in PYRAMID_STRIDES[1:]]
    return PublishedBackbone(
        name=name,
        family="timm",
        strides=strides,
        channels=channels,
        mean=tuple(facts["mean"]),
        std=tuple(facts["std"]),
        fixed_shape=facts["fixed_shape"] and tuple(facts["fixed_shape"]),
        layers=tuple(sorted(set(middle))) or tuple(levels) or (depth - 1,),
        parameters=facts["parameters"],
        forward_mb=4.0 * WIDEST_COPIES * facts["widest"],
        weights=timm_file(facts),
    )
