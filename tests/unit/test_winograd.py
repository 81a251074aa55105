"""Convolutions with fewer products give what plain ones give; folded networks what the single ones give."""

import pytest
import torch
from torch.nn import functional

from seamark.detectors.efficientad.autoencoder import Autoencoder, FoldedAutoencoder
from seamark.detectors.efficientad.folded_networks import FoldedNetworks, normalised_head
from seamark.detectors.efficientad.winograd import WinogradConvolution
from seamark.networks.pdn import Pdn, pdn_layers


@pytest.mark.parametrize("kernel", [3, 4])
@pytest.mark.parametrize(("height", "width"), [(7, 7), (8, 13), (20, 9), (4, 4)])
def test_equals_a_plain_convolution(kernel, height, width):
    torch.manual_seed(0)
    features, weight, bias = torch.randn(2, 20, height, width), torch.randn(5, 20, kernel, kernel), torch.randn(5)
    expected = functional.conv2d(features.double(), weight.double(), bias.double())
    found = WinogradConvolution(weight, bias)(features)
    assert found.shape == expected.shape
    assert (found - expected).norm() < 1e-5 * expected.norm()


@pytest.mark.parametrize("size", ["small", "medium"])
@pytest.mark.parametrize(("height", "width"), [(64, 64), (72, 101)])
def test_folded_networks_equal_the_single_ones(size, height, width):
    torch.manual_seed(2)
    teacher, student = (Pdn(pdn_layers(size, outputs, 0.25)).eval() for outputs in (24, 48))
    mean, std = torch.randn(24), torch.rand(24) + 0.1
    images = torch.randn(2, 3, height, width)
    with torch.no_grad():
        features = (teacher(images) - mean.view(1, -1, 1, 1)) / std.view(1, -1, 1, 1)
        predicted = student(images)
        difference, prediction = FoldedNetworks(teacher, student, mean, std)(images)
    expected = features - predicted[:, :24]
    assert (difference - expected).norm() < 1e-5 * expected.norm()
    assert (prediction - predicted[:, 24:]).norm() < 1e-5 * predicted[:, 24:].norm()


@pytest.mark.parametrize(("sides", "grid"), [((256, 256), (56, 56)), ((64, 96), (8, 16))])
def test_folded_autoencoder_equals_the_plain_one(sides, grid):
    torch.manual_seed(4)
    network, images = Autoencoder(10).eval(), torch.randn(2, 3, *sides)
    with torch.no_grad():
        expected = network(images, grid)
        assert (FoldedAutoencoder(network)(images, grid) - expected).norm() < 1e-5 * expected.norm()


def test_folded_head_gives_normalised_features():
    torch.manual_seed(3)
    network, mean, std = Pdn(pdn_layers("small", 12, 1 / 8)), torch.randn(12), torch.rand(12) + 0.1
    images = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        expected = (network(images) - mean.view(1, -1, 1, 1)) / std.view(1, -1, 1, 1)
        folded = functional.conv2d(network.trunk(images), *normalised_head(network.head, mean, std))
    torch.testing.assert_close(folded, expected, rtol=1e-5, atol=1e-5)
