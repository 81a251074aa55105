"""PFADSeg's attention: counts, closed forms, and the fast forms against the plain ones."""

import pytest
import torch
import torch.nn.functional as F

from seamark.detectors.pfadseg.attention import (
    CELLS_TO_MERGE,
    AttentionalFusion,
    AttentionBlock,
    ParallelRecalibration,
    PyramidRecalibration,
    RectangularAttention,
    RectangularCalibration,
    shifted_quadrants,
)
from seamark.detectors.pfadseg.networks import GuidedSegmentation
from seamark.settings.pfadseg import AttentionSettings

LOWEST, HIGHEST = 1 / (1 + 2 * torch.e), torch.e / (torch.e + 2)
"""What a weight of a branch can be, because scores are within 0..1."""


@pytest.fixture(autouse=True)
def one_thread():
    torch.set_num_threads(1)
    torch.manual_seed(0)


def count(module):
    return sum(parameter.numel() for parameter in module.parameters())


@pytest.mark.parametrize(
    ("channels", "spr", "shared", "separate", "aff", "pa", "plain", "rcm"),
    [
        (64, 1_604, 112_196, 115_404, 4_576, 153_892, 73_984, 19_072),
        (128, 6_280, 448_648, 461_208, 17_344, 613_960, 295_424, 70_912),
        (256, 24_848, 1_794_320, 1_844_016, 67_456, 2_452_624, 1_180_672, 272_896),
        (512, 98_848, 7_176_736, 7_374_432, 265_984, 9_804_064, 4_720_640, 1_070_080),
    ],
)
def test_parameters(channels, spr, shared, separate, aff, pa, plain, rcm):
    """See docs/methods/pfadseg.md#parallel-recalibration."""
    with torch.device("meta"):
        assert count(PyramidRecalibration(channels)) == spr
        assert count(ParallelRecalibration(channels)) == shared
        assert count(ParallelRecalibration(channels, shared=False)) == separate
        assert count(ParallelRecalibration(channels, norm=True)) == shared + 6 * channels
        assert count(AttentionalFusion(channels)) == aff
        assert count(AttentionBlock(channels, channels, AttentionSettings())) == pa
        assert count(AttentionBlock(channels, channels, AttentionSettings(pcar=False, aff=False))) == plain
        assert count(RectangularCalibration(channels)) == rcm
        assert rcm - count(RectangularCalibration(channels).mlp) - channels == 36 * channels


class TestAttentionalFusion:
    """See docs/methods/pfadseg.md#checks."""

    def test_equal_weights_give_the_sum(self):
        fusion, (one, other) = AttentionalFusion(8), torch.randn(2, 3, 8, 5, 6)
        for branch in (fusion.local, fusion.pooled):
            torch.nn.init.zeros_(branch[-1].weight)
        assert torch.equal(fusion(one, other), one + other)

    def test_may_start_as_the_sum(self):
        one, other = torch.randn(2, 3, 8, 5, 6)
        assert torch.equal(AttentionalFusion(8, starts_even=True)(one, other), one + other)
        assert not torch.allclose(AttentionalFusion(8)(one, other), one + other)

    def test_equal_terms_give_twice_the_term(self):
        fusion, one = AttentionalFusion(8), torch.randn(3, 8, 5, 6)
        torch.testing.assert_close(fusion(one, one), 2 * one)
        torch.testing.assert_close(AttentionalFusion(8, gain=1.0)(one, one), one)

    def test_swapped_terms_complement_each_other(self):
        fusion, (one, other) = AttentionalFusion(8).eval(), torch.randn(2, 3, 8, 5, 6)
        torch.testing.assert_close(fusion(one, other) + fusion(other, one), 2 * (one + other))


def branches_of(module, features):
    return F.conv2d(features, module.kernels, padding=1).reshape(len(features), 3, -1, *features.shape[2:])


def spread(module):
    """Make the scores of the branches differ, as they do after training."""
    for recalibration in module.recalibrations:
        torch.nn.init.normal_(recalibration.squeeze.weight, std=2.0)
        torch.nn.init.normal_(recalibration.excite.weight, std=2.0)
    return module


class TestParallelRecalibration:
    """See docs/methods/pfadseg.md#checks."""

    def test_equal_kernels_are_one_convolution(self):
        module, features = ParallelRecalibration(8), torch.randn(2, 8, 6, 6)
        with torch.no_grad():
            module.kernels.copy_(module.kernels[:8].repeat(3, 1, 1, 1))
        torch.testing.assert_close(module(features), F.conv2d(features, module.kernels[:8], padding=1))

    @pytest.mark.parametrize("shared", [True, False])
    def test_output_lies_between_the_branches(self, shared):
        module, features = spread(ParallelRecalibration(8, shared=shared)), torch.randn(2, 8, 6, 6)
        branches, out = branches_of(module, features), module(features)
        assert (out >= branches.amin(dim=1) - 1e-5).all()
        assert (out <= branches.amax(dim=1) + 1e-5).all()

    def test_weights(self):
        module = ParallelRecalibration(64)
        fresh = module._weights(torch.randn(2, 3, 64) / 10, torch.randn(2, 3, 64, 4) / 10)
        assert (fresh - 1 / 3).abs().max() < 0.02
        weights = spread(module)._weights(10 * torch.randn(50, 3, 64), 10 * torch.randn(50, 3, 64, 4))
        torch.testing.assert_close(weights.sum(dim=1), torch.ones(50, 64))
        assert pytest.approx([0.1554, 0.5761], abs=1e-4) == [LOWEST, HIGHEST]
        assert LOWEST - 1e-6 <= weights.min() < 0.17
        assert 0.56 < weights.max() <= HIGHEST + 1e-6

    def test_order_of_the_pooled_numbers(self):
        """A map whose four quadrants hold distinct constants, channel by channel."""
        module, given = ParallelRecalibration(2), []
        features = torch.zeros(1, 2, 6, 6)
        quarters = [
            (slice(0, 3), slice(0, 3)),
            (slice(0, 3), slice(3, 6)),
            (slice(3, 6), slice(0, 3)),
            (slice(3, 6),) * 2,
        ]
        for channel in range(2):
            for quadrant, (rows, columns) in enumerate(quarters):
                features[0, channel, rows, columns] = 10 * channel + quadrant + 1
        with torch.no_grad():
            module.kernels.zero_()
            for output in range(6):
                module.kernels[output, output % 2, 1, 1] = 1.0
        module.recalibrations[0].squeeze.register_forward_pre_hook(lambda _, args: given.append(args[0]))
        module.parallel(features)
        module.merged(features)
        expected = torch.tensor([2.5, 12.5, 1, 2, 3, 4, 11, 12, 13, 14]).expand(1, 3, 10)
        for pooled in given:
            torch.testing.assert_close(pooled, expected)
        assert len(given) == 2

    @pytest.mark.parametrize("shared", [True, False])
    @pytest.mark.parametrize("shape", [(1, 32, 32), (3, 6, 8), (2, 2, 14)])
    def test_merged_kernels_give_the_same(self, shape, shared):
        """See docs/methods/pfadseg.md#parallel-recalibration: outputs and all gradients, in float64."""
        module = spread(ParallelRecalibration(6, shared=shared)).double()
        batch, *sides = shape
        features = torch.randn(batch, 6, *sides, dtype=torch.float64)
        seen = []
        for form in (module.parallel, module.merged):
            given = features.clone().requires_grad_()
            out = form(given)
            module.zero_grad()
            (out * torch.cos(torch.arange(out.numel()).view_as(out))).sum().backward()
            seen.append((out, given.grad, [parameter.grad.clone() for parameter in module.parameters()]))
        torch.testing.assert_close(seen[0][0], seen[1][0], rtol=0, atol=1e-12)
        torch.testing.assert_close(seen[0][1:], seen[1][1:], rtol=1e-10, atol=1e-11)

    def test_shifted_quadrants_are_the_means_of_what_a_kernel_sees(self):
        features = torch.randn(2, 3, 4, 6, dtype=torch.float64)
        patches = F.unfold(features, 3, padding=1).view(2, 27, 4, 6)
        expected = F.adaptive_avg_pool2d(patches, 2).flatten(2)
        torch.testing.assert_close(shifted_quadrants(features), expected)

    @pytest.mark.parametrize(
        ("side", "norm", "merged"), [(16, False, True), (14, False, False), (17, False, False), (16, True, False)]
    )
    def test_kernels_are_merged_where_it_is_exact_and_pays(self, monkeypatch, side, norm, merged):
        module, called = ParallelRecalibration(2, norm=norm), []
        for name in ("parallel", "merged"):
            monkeypatch.setattr(module, name, lambda features, name=name: called.append(name))
        module(torch.zeros(1, 2, side, side))
        assert called == ["merged" if merged else "parallel"]
        assert CELLS_TO_MERGE == 16 * 16

    def test_odd_sides(self):
        """Quadrants of an odd side overlap, and the mean is not that of the quadrants."""
        module, given = ParallelRecalibration(2), []
        module.recalibrations[0].register_forward_pre_hook(lambda _, args: given.append(args))
        features = torch.randn(1, 2, 5, 7)
        module(features)
        branches = branches_of(module, features)
        torch.testing.assert_close(given[0][0], branches.mean(dim=(3, 4)))
        torch.testing.assert_close(given[0][1][0, 1, 0, 3], branches[0, 1, 0, 2:, 3:].mean())

    def test_channels_last_memory_gives_the_same(self):
        module, features = ParallelRecalibration(6), torch.randn(2, 6, 32, 32)
        torch.testing.assert_close(module(features.contiguous(memory_format=torch.channels_last)), module(features))


def plain_attention(module, features):
    """The attention as it is written down (docs/methods/pfadseg.md#rectangular-calibration)."""
    pooled = features.mean(dim=3, keepdim=True) + features.mean(dim=2, keepdim=True)
    return module.along_column(module.norm(module.along_row(pooled))).sigmoid()


class TestRectangularCalibration:
    """See docs/methods/pfadseg.md#checks."""

    def test_without_scale_it_is_the_identity(self):
        features = torch.randn(2, 8, 12, 14)
        assert torch.equal(RectangularCalibration(8, layer_scale=0.0)(features), features)
        assert not torch.equal(RectangularCalibration(8)(features), features)

    def test_attention_is_a_share_per_cell(self):
        features = torch.randn(2, 8, 12, 14)
        attention = RectangularAttention(8).attention(features)
        assert attention.shape == features.shape
        assert attention.min() > 0.0
        assert attention.max() < 1.0

    def test_a_constant_gets_constant_attention_away_from_the_border(self):
        attention = RectangularAttention(4).attention(torch.ones(2, 4, 25, 27))
        inner = attention[:, :, 5:-5, 5:-5]
        torch.testing.assert_close(inner, inner[:, :, :1, :1].expand_as(inner))
        assert not torch.allclose(attention[:, :, 0, 0], attention[:, :, 12, 12])

    def test_sums_of_rows_and_columns_give_the_same(self):
        """See docs/methods/pfadseg.md#rectangular-calibration: outputs and gradients, in float64, norms in training."""
        module = RectangularAttention(5).double()
        features = torch.randn(3, 5, 9, 16, dtype=torch.float64)
        seen = []
        for form in (module.attention, lambda given: plain_attention(module, given)):
            given = features.clone().requires_grad_()
            out = form(given)
            module.zero_grad()
            (out * torch.cos(torch.arange(out.numel()).view_as(out))).sum().backward()
            gradients = [parameter.grad.clone() for parameter in module.parameters() if parameter.grad is not None]
            seen.append((out, given.grad, gradients))
        assert len(seen[0][2]) == 6
        torch.testing.assert_close(seen[0], seen[1], rtol=1e-9, atol=1e-12)


def test_levels_are_interpolated_where_their_cells_are():
    network = GuidedSegmentation((2, 4, 6), 10, AttentionSettings()).eval()
    levels = [torch.randn(2, wide, side, 2 * side) for wide, side in ((2, 8), (4, 4), (6, 2))]
    stack = torch.cat([F.interpolate(level, (8, 16), mode="bilinear", align_corners=False) for level in levels], dim=1)
    given = []
    network.first.register_forward_pre_hook(lambda _, args: given.append(args[0]))
    assert network(levels).shape == (2, 8, 16)
    torch.testing.assert_close(given[0], stack)


def test_block_halves_and_changes_channels():
    block = AttentionBlock(4, 6, AttentionSettings(), 2)
    out = block(torch.randn(2, 4, 8, 10))
    assert out.shape == (2, 6, 4, 5)
    assert out.min() >= 0
    assert AttentionBlock(4, 6, AttentionSettings(), signed=True)(torch.randn(2, 4, 8, 10)).min() < 0


def test_kernels_start_like_those_of_single_convolutions():
    """Kaiming normal by the outputs of one branch, not of all three (docs/methods/pfadseg.md#student)."""
    kernels = AttentionBlock(64, 64, AttentionSettings()).branch[1].kernels
    assert kernels.std().item() == pytest.approx((2 / (9 * 64)) ** 0.5, rel=0.03)
