"""Teacher and student of EfficientAD as one network that gives differences, for scoring.

Source: own; the identities of docs/methods/efficientad.md#exact-savings. The first convolutions of both networks are
one; the normalisation of the teacher is folded into its head; teacher less student is one convolution of both networks'
hidden features. On the CPU, convolutions of 3 x 3 and 4 x 4 multiply less (``seamark.detectors.efficientad.winograd``).
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from seamark.detectors.efficientad.winograd import KERNELS, WinogradConvolution
from seamark.networks.pdn import Pdn
from seamark.networks.plain_form import in_plain_form

Convolution = Callable[[Tensor], Tensor]
FEWEST_CHANNELS = 16
"""With fewer inputs, transforming blocks costs more than it saves."""


@dataclass(frozen=True)
class PlainConvolution:
    """A convolution as torch computes it."""

    weight: Tensor
    bias: Tensor

    def __call__(self, features: Tensor) -> Tensor:
        """Return outputs (B, O, H', W') of features (B, I, H, W)."""
        return functional.conv2d(features, self.weight, self.bias)


def fastest_convolution(weight: Tensor, bias: Tensor) -> Convolution:
    """Return the fastest form of a convolution for its device and shape."""
    weight, bias = weight.detach(), bias.detach()
    on_cpu = weight.device.type == "cpu" and not in_plain_form()
    if on_cpu and weight.shape[2] in KERNELS and weight.shape[1] >= FEWEST_CHANNELS:
        return WinogradConvolution(weight, bias)
    return PlainConvolution(weight.contiguous(memory_format=torch.channels_last), bias)


def normalised_head(head: nn.Conv2d, mean: Tensor, std: Tensor) -> tuple[Tensor, Tensor]:
    """Return weight and bias of a head that gives (features - mean) / std, computed in float64.

    Parameters
    ----------
    head : Conv2d
        Gives C features.
    mean, std : Tensor, shape (C,)
        Of each feature.

    Returns
    -------
    tuple of Tensor
        Weight (C, I, k, k) and bias (C,), float32.
    """
    weight, bias = (part.detach().double() for part in (head.weight, bias_of(head)))
    mean, std = mean.double(), std.double()
    return (weight / std.view(-1, 1, 1, 1)).float(), ((bias - mean) / std).float()


def bias_of(layer: nn.Conv2d) -> Tensor:
    """Return the bias of a convolution that has one."""
    if layer.bias is None:
        raise TypeError("the convolutions of a patch description network have a bias")
    return layer.bias


class FoldedNetworks:
    """Teacher and student with weights that no longer change.

    Parameters
    ----------
    teacher, student : Pdn
        Networks of C and 2 C features whose hidden layers are alike but for the widths.
    mean, std : Tensor, shape (C,)
        With them the teacher's features are normalised.
    """

    def __init__(self, teacher: Pdn, student: Pdn, mean: Tensor, std: Tensor) -> None:
        channels = len(mean)
        networks = [
            [part for part in network.convolutions if isinstance(part, nn.Conv2d)] for network in (teacher, student)
        ]
        first = [layers[0] for layers in networks]
        self.layers = teacher.layers
        self.first = fastest_convolution(
            torch.cat([layer.weight for layer in first]), torch.cat([bias_of(layer) for layer in first])
        )
        self.split = first[0].out_channels
        self.inner = [
            [fastest_convolution(layer.weight, bias_of(layer)) for layer in layers[1:-1]] for layers in networks
        ]
        weight, bias = normalised_head(teacher.head, mean, std)
        own, own_bias = student.head.weight.detach(), bias_of(student.head).detach()
        self.hidden = weight.shape[1]
        self.difference = fastest_convolution(torch.cat([weight, -own[:channels]], dim=1), bias - own_bias[:channels])
        self.prediction = fastest_convolution(own[channels:], own_bias[channels:])

    def __call__(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Return teacher less student, and the student's prediction of the autoencoder.

        Parameters
        ----------
        images : Tensor of float32, shape (B, 3, H, W)
            Normalised.

        Returns
        -------
        tuple of Tensor
            (B, C, h, w) each.
        """
        both = self._pooled(0, functional.relu_(self.first(images.contiguous(memory_format=torch.channels_last))))
        hidden = [both[:, : self.split], both[:, self.split :]]
        for number, layers in enumerate(zip(*self.inner, strict=True), start=1):
            hidden = [
                self._pooled(number, functional.relu_(layer(features)))
                for layer, features in zip(layers, hidden, strict=True)
            ]
        return self._heads(torch.cat(hidden, dim=1))

    def _pooled(self, number: int, features: Tensor) -> Tensor:
        return functional.avg_pool2d(features, 2, 2) if self.layers[number].pooled else features

    def _heads(self, hidden: Tensor) -> tuple[Tensor, Tensor]:
        """Apply both heads; blocks of the student's hidden features are transformed once for both."""
        if not isinstance(self.difference, WinogradConvolution) or not isinstance(self.prediction, WinogradConvolution):
            return self.difference(hidden), self.prediction(hidden[:, self.hidden :])
        head = self.difference
        transformed, blocks = head.transformed(hidden)
        height, width = (side - head.kernel + 1 for side in hidden.shape[2:])
        difference = head.finished(head.products(transformed), blocks, (height, width))
        products = self.prediction.products(transformed[:, :, self.hidden :])
        return difference, self.prediction.finished(products, blocks, (height, width))
