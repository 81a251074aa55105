"""Convolutions of 3 x 3 and 4 x 4 on the CPU with a fifth to a quarter of the multiplications.

Source: Lavin and Gray, "Fast Algorithms for Convolutional Neural Networks", CVPR 2016. A block of 4 x 4 outputs of a
4 x 4 kernel takes 49 products instead of 256, of a 3 x 3 kernel 36 instead of 144; what changes is rounding: with the
points chosen here, 2e-6 of the length of the result.
"""

from functools import cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

BLOCK = 4
"""Rows and columns of outputs that are computed together."""
POINTS = {3: (0.0, 1.0, -1.0, 0.5, -2.0), 4: (0.0, 1.0, -1.0, 0.5, -0.5, 2.0)}
"""Where the polynomials are evaluated, beside infinity, by the side of the kernel; small numbers keep rounding low."""
KERNELS = tuple(POINTS)
"""Sides of kernels that this is for."""


@cache
def transforms(kernel: int) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Return the transforms of outputs (4, n), of kernels (n, k) and of inputs (n, n), where n = 4 + k - 1.

    With them, four outputs of a correlation are ``outputs @ ((kernels @ g) * (inputs @ d))``.
    """
    size = BLOCK + kernel - 1
    points = np.array(POINTS[kernel])
    outputs, kernels, inputs = np.zeros((BLOCK, size)), np.zeros((size, kernel)), np.zeros((size, size))
    for place, point in enumerate(points):
        others = np.delete(points, place)
        outputs[:, place] = point ** np.arange(BLOCK)
        kernels[place] = point ** np.arange(kernel) / np.prod(point - others)
        inputs[place, : size - 1] = np.poly(others)[::-1]
    outputs[-1, -1], kernels[-1, -1], inputs[-1] = 1.0, 1.0, np.poly(points)[::-1]
    return outputs, kernels, inputs


def _both_axes(transform: NDArray[np.float64]) -> Tensor:
    return torch.from_numpy(np.kron(transform, transform).astype(np.float32))


class WinogradConvolution:
    """A convolution with stride 1 and without padding, for many images with the same weights.

    Parameters
    ----------
    weight : Tensor of float32, shape (O, I, k, k)
        Kernels with k of 3 or 4.
    bias : Tensor of float32, shape (O,)
        What is added.
    """

    def __init__(self, weight: Tensor, bias: Tensor) -> None:
        self.kernel = weight.shape[2]
        _, kernels, inputs = transforms(self.kernel)
        grown = torch.einsum("ij,ocjk,lk->ilco", *(_exact(part) for part in (kernels, weight, kernels)))
        self.kernels = grown.float().flatten(0, 1).contiguous()
        self.bias = bias
        self.inputs, self.outputs = _both_axes(inputs), _both_axes(transforms(self.kernel)[0])

    def transformed(self, features: Tensor) -> tuple[Tensor, tuple[int, int, int]]:
        """Return transformed blocks (n * n, N, I) of features (B, I, H, W), and images, rows, columns of blocks."""
        size, (images, channels, *sides) = BLOCK + self.kernel - 1, features.shape
        rows, columns = (-(-(side - self.kernel + 1) // BLOCK) for side in sides)
        below, right = ((blocks - 1) * BLOCK + size - side for blocks, side in zip((rows, columns), sides, strict=True))
        last = torch.nn.functional.pad(features.permute(0, 2, 3, 1), (0, 0, 0, right, 0, below))
        blocks = last.unfold(1, size, BLOCK).unfold(2, size, BLOCK).permute(4, 5, 0, 1, 2, 3)
        flat = blocks.reshape(size * size, images * rows * columns * channels)
        return (self.inputs @ flat).view(size * size, -1, channels), (images, rows, columns)

    def products(self, transformed: Tensor) -> Tensor:
        """Return products (n * n, blocks, O) of transformed blocks (n * n, blocks, I)."""
        return torch.bmm(transformed, self.kernels)

    def finished(self, products: Tensor, blocks: tuple[int, int, int], shape: tuple[int, int]) -> Tensor:
        """Return outputs (B, O, *shape), channels last in memory, of the products of blocks."""
        images, rows, columns = blocks
        flat = self.outputs @ products.flatten(1)
        tiled = flat.view(BLOCK, BLOCK, images, rows, columns, -1).permute(2, 3, 0, 4, 1, 5)
        whole = tiled.reshape(images, rows * BLOCK, columns * BLOCK, -1)[:, : shape[0], : shape[1]]
        return whole.add_(self.bias).permute(0, 3, 1, 2)

    def __call__(self, features: Tensor) -> Tensor:
        """Return outputs (B, O, H - k + 1, W - k + 1) of features (B, I, H, W)."""
        transformed, blocks = self.transformed(features)
        height, width = (side - self.kernel + 1 for side in features.shape[2:])
        return self.finished(self.products(transformed), blocks, (height, width))


def _exact(part: Tensor | NDArray[np.float64]) -> Tensor:
    return torch.as_tensor(part).detach().to(torch.float64)
