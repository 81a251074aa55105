"""Tables, geometry and invariances of the networks of EfficientAD (docs/methods/efficientad.md#networks)."""

import pytest
import torch
from torch import nn

from seamark.detectors.efficientad.autoencoder import Autoencoder
from seamark.networks.pdn import Pdn, cell_count, pdn_layers


def count(module):
    return sum(parameter.numel() for parameter in module.parameters())


def tiny(outputs=8, size="small"):
    torch.manual_seed(0)
    return Pdn(pdn_layers(size, outputs, 1 / 32)).eval()


def test_parameter_counts():
    counts = {
        ("small", 384): 2_694_144,
        ("small", 768): 4_267_392,
        ("medium", 384): 8_026_624,
        ("medium", 768): 11_615_488,
    }
    with torch.device("meta"):
        assert {key: count(Pdn(pdn_layers(*key))) for key in counts} == counts
        autoencoder = count(Autoencoder(384))
    assert autoencoder == 1_096_320
    assert counts["small", 384] + counts["small", 768] + autoencoder == 8_057_856
    assert counts["medium", 384] + counts["medium", 768] + autoencoder == 20_738_432


LAYERS = {
    ("small", False): [(128, 253, 6272), (256, 123, 524_544), (256, 59, 590_080), (384, 56, 1_573_248)],
    ("small", True): [(128, 259, 6272), (256, 133, 524_544), (256, 67, 590_080), (384, 64, 1_573_248)],
    ("medium", False): [
        (256, 253, 12_544),
        (512, 123, 2_097_664),
        (512, 61, 262_656),
        (512, 59, 2_359_808),
        (384, 56, 3_146_112),
        (384, 56, 147_840),
    ],
    ("medium", True): [
        (256, 259, 12_544),
        (512, 133, 2_097_664),
        (512, 67, 262_656),
        (512, 67, 2_359_808),
        (384, 64, 3_146_112),
        (384, 64, 147_840),
    ],
}


def shapes(network, convolutions, *arguments, **keywords):
    """Channels, side and parameters of each convolution's output."""
    seen = []
    for convolution in convolutions:
        convolution.register_forward_hook(
            lambda module, _, output: seen.append((output.shape[1], output.shape[2], count(module)))
        )
    network(*arguments, **keywords)
    return seen


@pytest.mark.parametrize(("size", "padded"), LAYERS)
def test_layer_tables(size, padded):
    with torch.device("meta"):
        network = Pdn(pdn_layers(size, 384))
        assert shapes(network, network.convolutions, torch.empty(1, 3, 256, 256), padded=padded) == LAYERS[size, padded]


def test_autoencoder_table():
    with torch.device("meta"):
        network = Autoencoder(384)
        convolutions = [part for part in network.modules() if isinstance(part, nn.Conv2d)]
        found = shapes(network, convolutions, torch.empty(1, 3, 256, 256), (56, 56))
    encoder = [(32, 128, 1568), (32, 64, 16_416), (64, 32, 32_832), (64, 16, 65_600), (64, 8, 65_600), (64, 1, 262_208)]
    decoder = [(64, side, 65_600) for side in (4, 9, 16, 33, 64, 128)]
    assert found == [*encoder, *decoder, (64, 56, 36_928), (384, 56, 221_568)]


@pytest.mark.parametrize(
    ("side", "cells"), {64: 8, 96: 16, 128: 24, 224: 48, 256: 56, 284: 63, 320: 72, 384: 88, 512: 120, 32: 0}.items()
)
def test_cells_without_padding(side, cells):
    assert cell_count(side) == cells
    if cells:
        with torch.device("meta"):
            assert Pdn(pdn_layers("small", 4, 1 / 32))(torch.empty(1, 3, side, side)).shape[2:] == (cells, cells)


@pytest.mark.parametrize(("height", "width"), [(256, 256), (212, 284), (64, 96)])
def test_cells_with_padding(height, width):
    with torch.device("meta"):
        cells = Pdn(pdn_layers("medium", 4, 1 / 32))(torch.empty(1, 3, height, width), padded=True).shape[2:]
    assert cells == (-(-height // 4), -(-width // 4))


@pytest.mark.parametrize("size", ["small", "medium"])
def test_padded_is_plain_inside(size):
    network, images = tiny(size=size), torch.rand(1, 3, 128, 128)
    with torch.no_grad():
        torch.testing.assert_close(network(images, padded=True)[..., 4:28, 4:28], network(images), rtol=0, atol=1e-6)


def changed(network, images, row, column):
    """Rows and columns of cells that one pixel changes."""
    other = images.clone()
    other[..., row, column] += 10.0
    with torch.no_grad():
        places = ((network(images) - network(other)).abs().amax(dim=(0, 1)) > 0).nonzero()
    return [sorted({int(value) for value in places[:, axis]}) for axis in (0, 1)]


@pytest.mark.parametrize("size", ["small", "medium"])
def test_receptive_field(size):
    torch.manual_seed(1)
    network, images = tiny(16, size).double(), torch.rand(1, 3, 256, 256, dtype=torch.float64)
    assert changed(network, images, 100, 100) == [list(range(17, 26)), list(range(17, 26))]
    assert changed(network, images, 252, 252) == [[55], [55]]
    for unseen in (253, 254, 255):
        assert changed(network, images, unseen, 100) == [[], []]
        assert changed(network, images, 100, unseen) == [[], []]


def test_a_shift_of_four_px_is_one_cell():
    network, images = tiny(), torch.rand(1, 3, 100, 100)
    with torch.no_grad():
        torch.testing.assert_close(network(images[..., 4:, 4:]), network(images)[..., 1:, 1:], rtol=0, atol=1e-6)


def test_images_of_a_batch_do_not_meet():
    network, images = tiny(), torch.rand(2, 3, 64, 64)
    with torch.no_grad():
        torch.testing.assert_close(network(images)[:1], network(images[:1]), rtol=0, atol=1e-6)


@pytest.mark.parametrize("size", ["small", "medium"])
def test_half_a_head_gives_half_the_features(size):
    network, images = tiny(12, size), torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        hidden = network.trunk(images)
        halves = [network.outputs(hidden, part) for part in (slice(6), slice(6, 12))]
        torch.testing.assert_close(torch.cat(halves, dim=1), network(images), rtol=0, atol=1e-5)


def test_autoencoder_has_dropout_only_in_training():
    torch.manual_seed(2)
    network, images = Autoencoder(4), torch.rand(1, 3, 256, 256)
    with torch.no_grad():
        assert not torch.equal(network(images, (8, 8)), network(images, (8, 8)))
        network.eval()
        assert torch.equal(network(images, (8, 8)), network(images, (8, 8)))


def test_autoencoder_sees_tiles_of_other_sizes_at_its_own():
    network = Autoencoder(4).eval()
    assert network(torch.rand(1, 3, 96, 320), (16, 72)).shape == (1, 4, 16, 72)
