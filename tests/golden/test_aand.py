"""AAND's networks and losses against docs/methods/aand.md#checks."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from seamark.backbones.convolutional import PyramidNetwork
from seamark.backbones.families import build_network
from seamark.backbones.table import BACKBONES
from seamark.detectors.aand.losses import ChosenCells, amplification_loss, choose_cells, distillation_losses
from seamark.detectors.aand.residual_amplification import (
    AttributeScaling,
    LevelAmplification,
    MatchingGate,
    ResidualAmplification,
    hidden_width,
    position_encoding,
)
from seamark.detectors.urd.losses import image_distances
from seamark.errors import ConfigError
from seamark.networks import resnet
from seamark.networks.reverse_distillation import ReverseStudent
from seamark.networks.segmentation_network import focal_loss

WIDE = (256, 512, 1024)
WIDE_SHAPES = [(64, 64), (32, 32), (16, 16)]
TINY, TINY_SHAPES = (16, 32, 64), [(16, 16), (8, 8), (4, 4)]


@pytest.fixture(autouse=True)
def one_thread():
    torch.set_num_threads(1)
    torch.manual_seed(0)


def count(module):
    return sum(parameter.numel() for parameter in module.parameters())


def pyramid(seed=0, batch=2, channels=TINY, shapes=TINY_SHAPES):
    generator = torch.Generator().manual_seed(seed)
    return [
        torch.randn(batch, wide, *shape, generator=generator).abs()
        for wide, shape in zip(channels, shapes, strict=True)
    ]


def zero_last_layer(residual):
    torch.nn.init.zeros_(residual.scale[-1].weight)
    torch.nn.init.zeros_(residual.scale[-1].bias)


class TestSizes:
    """See docs/methods/aand.md#checks."""

    def test_amplification(self):
        with torch.device("meta"):
            network = ResidualAmplification(WIDE, WIDE_SHAPES, 50, 0.2)
        assert [count(level) for level in network.levels] == [1_076_736, 4_250_624, 6_400_000]
        assert [count(level.residual) for level in network.levels] == [525_568, 2_099_712, 3_148_800]
        assert [level.gate.memory.numel() for level in network.levels] == [25_600, 51_200, 102_400]
        assert [tuple(level.gate.position.shape) for level in network.levels] == [
            (*shape, wide) for wide, shape in zip(WIDE, WIDE_SHAPES, strict=True)
        ]
        assert count(network) == 11_727_360

    def test_student(self):
        with torch.device("meta"):
            student = ReverseStudent(WIDE)
        embedding = student.bottleneck.embedding
        assert count(student.bottleneck) == 58_885_120
        assert (count(student.bottleneck) - count(embedding), count(embedding)) == (10_621_952, 48_263_168)
        assert [count(stage) for stage in student.decoder.stages] == [17_840_128, 5_317_632, 1_759_744]
        assert count(student.decoder) == 24_917_504

    def test_teacher(self):
        entry = BACKBONES["wide_resnet50_2"]
        with torch.device("meta"):
            network = build_network(entry)
            whole = resnet.timm.create_model(entry.name, pretrained=False)
            trunk = PyramidNetwork(entry, network)
            levels = trunk(torch.empty(1, 3, 256, 256))
        assert count(trunk) == 24_862_528
        assert count(whole) == 68_883_240
        assert [tuple(level.shape[1:]) for level in levels] == [
            (wide, *shape) for wide, shape in zip(WIDE, WIDE_SHAPES, strict=True)
        ]

    @pytest.mark.parametrize(
        ("channels", "shapes"),
        [(WIDE, WIDE_SHAPES), (TINY, TINY_SHAPES), ((24, 40, 112), [(64, 136), (32, 68), (16, 34)])],
    )
    def test_shapes(self, channels, shapes):
        expected = [(1, wide, *shape) for wide, shape in zip(channels, shapes, strict=True)]
        with torch.device("meta"):
            levels = [torch.empty(form) for form in expected]
            amplified = ResidualAmplification(channels, shapes, 50, 0.2)(levels)
            rebuilt = ReverseStudent(channels)(amplified)
        assert [tuple(level.shape) for level in amplified] == expected
        assert [tuple(level.shape) for level in rebuilt] == expected

    @pytest.mark.parametrize(("channels", "width"), [(24, 128), (112, 224), (256, 512), (512, 1024), (1024, 1024)])
    def test_widths_inside(self, channels, width):
        assert hidden_width(channels) == width

    def test_initial_weights(self):
        student = ReverseStudent((32, 64, 128))
        weight = student.bottleneck.middle[0].weight
        assert weight.std().item() == pytest.approx((2 / (9 * weight.shape[0])) ** 0.5, rel=0.02)
        transposed = student.decoder.stages[0][0].shortcut[0].weight
        assert transposed.abs().max().item() <= (1 / (transposed.shape[1] * 4)) ** 0.5
        layer = AttributeScaling(64).scale[2]
        assert layer.weight.std().item() == pytest.approx((2 / 128) ** 0.5, rel=0.02)
        memory = MatchingGate(64, (2, 2), 50, 0.2).memory
        assert (memory.mean().item(), memory.std().item()) == pytest.approx((0.0, 1.0), abs=0.05)


class TestGate:
    """See docs/methods/aand.md#checks."""

    def test_position_encoding(self):
        encoding = position_encoding(64, (8, 6))
        assert encoding.shape == (8, 6, 64)
        torch.testing.assert_close(encoding.square().sum(dim=2), torch.full((8, 6), 32.0))
        assert encoding[0, 0].tolist() == [0.0, 1.0] * 32
        assert torch.equal(encoding[0, :, :32], encoding[5, :, :32])
        assert torch.equal(encoding[:, 0, 32:], encoding[:, 4, 32:])
        assert (encoding[0, 1:, :32] != encoding[0, :-1, :32]).any(dim=1).all()
        assert encoding[0, 3, 2].item() == pytest.approx(np.sin(3 * 10_000 ** (-2 / 32)), abs=1e-6)
        assert encoding[5, 0, 35].item() == pytest.approx(np.cos(5 * 10_000 ** (-2 / 32)), abs=1e-6)

    def test_channels_that_cannot_be_encoded(self):
        with pytest.raises(ConfigError, match="level of 30 channels has no position encoding"):
            position_encoding(30, (4, 4))

    def test_position_is_not_part_of_the_state(self):
        assert not [name for name in MatchingGate(16, (4, 4), 5, 0.2).state_dict() if "position" in name]

    @pytest.mark.parametrize(("temperature", "lowest"), [(0.2, 4.53979e-5), (1.0, 0.1192029)])
    def test_bounds(self, temperature, lowest):
        gate = MatchingGate(16, (1, 2), 50, temperature)
        extremes = torch.ones(1, 1, 2, 100)
        extremes[0, 0, 0, 50:] = -1.0
        extremes[0, 0, 1, :50] = -1.0
        found = torch.sigmoid(gate.log_odds(extremes).double())[0, 0].tolist()
        assert found == pytest.approx([lowest, 1.0 - lowest], rel=1e-4)
        assert not torch.sigmoid(gate.log_odds(torch.full((1, 1, 1, 100), 0.37))).sub(0.5).any()

    def test_two_levels_of_similarity(self):
        similarities = torch.full((1, 1, 1, 100), 0.2)
        similarities[..., 50:] = 0.3
        found = torch.sigmoid(MatchingGate(16, (1, 1), 50, 0.2).log_odds(similarities))
        assert found.item() == pytest.approx(0.62246, abs=1e-5)

    def test_it_is_the_anomalous_share_of_a_softmax(self):
        """See docs/methods/aand.md#amplification."""
        gate = MatchingGate(32, (8, 8), 50, 0.2)
        cells = torch.randn(2, 8, 8, 32)
        query = gate.query(cells + gate.position)
        cosines = F.cosine_similarity(query.unsqueeze(3), gate.memory, dim=4)
        share = torch.softmax(cosines / 0.2, dim=3)[..., 50:].sum(dim=3)
        torch.testing.assert_close(torch.sigmoid(gate(cells)), share, rtol=0.0, atol=1e-6)

    def test_swapping_the_memories_inverts_it(self):
        gate, cells = MatchingGate(32, (4, 4), 50, 0.2), torch.randn(1, 4, 4, 32)
        before = torch.sigmoid(gate(cells))
        with torch.no_grad():
            gate.memory.copy_(gate.memory.roll(50, dims=0))
        torch.testing.assert_close(torch.sigmoid(gate(cells)), 1.0 - before)

    def test_zero_vectors_are_bearable(self):
        gate = MatchingGate(16, (2, 2), 5, 0.2)
        with torch.no_grad():
            gate.memory[0] = 0.0
        zero_last_layer(type("Last", (), {"scale": gate.query}))
        gate(torch.zeros(1, 2, 2, 16)).sum().backward()
        assert all(torch.isfinite(parameter.grad).all() for parameter in gate.parameters())


class TestFocalLoss:
    """See docs/methods/aand.md#checks."""

    @pytest.mark.parametrize(("share", "expected"), [(1.0, 0.1386294), (0.0, 0.0346574), (0.25, 0.0606504)])
    def test_undecided(self, share, expected):
        target = (torch.arange(16.0) < 16 * share).float().reshape(1, 4, 4)
        assert focal_loss(torch.zeros(1, 4, 4), target, 2.0, alpha=0.8).item() == pytest.approx(expected, abs=1e-7)

    def test_closed_form(self):
        logits, target = torch.randn(2, 5, 5), (torch.rand(2, 5, 5) > 0.5).float()
        gate = torch.sigmoid(logits)
        found = 0.8 * (1 - gate) ** 2 * target * gate.log() + 0.2 * gate**2 * (1 - target) * (1 - gate).log()
        torch.testing.assert_close(focal_loss(logits, target, 2.0, alpha=0.8), -found.mean())


def plain_amplification_loss(cells, residual, chosen, margin):
    """Both cosines of every pair, with the residual of every cell."""
    amplified = cells.clone()
    amplified[chosen.anomalous] = (cells + residual(cells))[chosen.anomalous]
    normal = cells[chosen.normal]
    after = F.cosine_similarity(amplified[chosen.anomalous].unsqueeze(1), normal, dim=2)
    before = F.cosine_similarity(cells[chosen.anomalous].unsqueeze(1), normal, dim=2)
    return F.relu(after - before + margin).mean()


class TestAmplificationLoss:
    """See docs/methods/aand.md#checks."""

    def chosen(self, cells=40, anomalous=12):
        return ChosenCells(torch.arange(anomalous), torch.arange(anomalous, cells))

    def test_without_residual_it_is_the_margin(self):
        residual, cells = AttributeScaling(16), torch.rand(40, 16)
        zero_last_layer(residual)
        assert not residual(cells).any()
        assert amplification_loss(cells, residual, self.chosen(), 0.3).item() == pytest.approx(0.3, abs=1e-6)
        assert amplification_loss(cells, residual, self.chosen(), 0.0).item() == 0.0
        assert amplification_loss(cells, lambda some: 0.7 * some, self.chosen(), 0.3).item() == pytest.approx(0.3)

    def test_nothing_to_compare(self):
        cells, none = torch.rand(40, 16), torch.arange(0)
        for chosen in (ChosenCells(none, torch.arange(40)), ChosenCells(torch.arange(40), none)):
            assert amplification_loss(cells, AttributeScaling(16), chosen, 0.3).item() == 0.0

    def test_equals_the_plain_form(self):
        """See docs/methods/aand.md#amplification-losses."""
        residual, cells = AttributeScaling(16), torch.rand(40, 16)
        gradients = []
        for form in (amplification_loss, plain_amplification_loss):
            residual.zero_grad()
            loss = form(cells, residual, self.chosen(), 0.05)
            loss.backward()
            gradients.append((loss, *(parameter.grad.clone() for parameter in residual.parameters())))
        for one, other in zip(*gradients, strict=True):
            torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-6)

    def test_the_residual_of_some_cells_is_that_of_all(self):
        residual, cells = AttributeScaling(16), torch.rand(40, 16)
        places = torch.tensor([3, 17, 30])
        torch.testing.assert_close(residual(cells[places]), residual(cells)[places], rtol=0.0, atol=1e-6)

    def test_the_papers_form_differs_by_a_constant(self):
        residual, cells, chosen = AttributeScaling(16), torch.rand(40, 16), self.chosen()
        loss = amplification_loss(cells, residual, chosen, 0.05)
        amplified = cells + residual(cells)
        after = F.normalize(amplified[:12]) @ F.normalize(cells[12:]).T
        reference = F.normalize(cells[:12]) @ F.normalize(cells[12:]).T - 0.05
        paper = torch.maximum(after, reference).mean()
        assert (paper - loss).item() == pytest.approx(reference.mean().item(), abs=1e-6)
        ours, theirs = (torch.autograd.grad(value, residual.scale[0].weight)[0] for value in (loss, paper))
        torch.testing.assert_close(ours, theirs)

    def test_cells_get_no_gradient_where_the_teacher_is_frozen_and_normal_ones_are_compared(self):
        cells = torch.rand(40, 16)
        loss = amplification_loss(cells, AttributeScaling(16), self.chosen(), 0.3)
        loss.backward()
        assert cells.grad is None

    def test_choice_of_cells(self):
        anomalous, ground = np.zeros((2, 4, 8), np.bool_), np.ones((2, 4, 8), np.bool_)
        anomalous[0, :2], ground[1, 3] = True, False
        chosen = choose_cells(anomalous, ground, (1000, 5000), np.random.default_rng(0))
        assert chosen.anomalous.tolist() == list(range(16))
        assert chosen.normal.tolist() == list(range(16, 56))
        fewer = choose_cells(anomalous, ground, (5, 7), np.random.default_rng(0))
        assert (len(fewer.anomalous), len(fewer.normal)) == (5, 7)
        assert set(fewer.anomalous.tolist()) < set(range(16))
        assert len(set(fewer.normal.tolist())) == 7
        again = choose_cells(anomalous, ground, (5, 7), np.random.default_rng(1))
        assert again.normal.tolist() != fewer.normal.tolist()


class TestAmplification:
    """See docs/methods/aand.md#checks and docs/methods/aand.md#amplification."""

    def test_without_residual_a_level_stays_as_it_is(self):
        module, level = LevelAmplification(16, (4, 4), 5, 0.2), torch.rand(2, 16, 4, 4)
        zero_last_layer(module.residual)
        assert torch.equal(module(level), level)

    def test_features_are_scaled_within_0_and_2_and_keep_their_sign(self):
        module, level = LevelAmplification(16, (4, 4), 5, 0.2), torch.rand(2, 16, 4, 4) + 0.1
        factor = module(level) / level
        assert 0.0 < factor.min() < 1.0 < factor.max() < 2.0
        cells = level.permute(0, 2, 3, 1)
        gate = torch.sigmoid(module.gate(cells)).unsqueeze(3)
        expected = cells + gate * torch.tanh(module.residual.scale(cells)) * cells
        torch.testing.assert_close(module(level), expected.permute(0, 3, 1, 2))

    def test_levels_do_not_see_each_other(self):
        network, levels = ResidualAmplification(TINY, TINY_SHAPES, 5, 0.2), pyramid()
        alone = network([levels[0], torch.zeros_like(levels[1]), levels[2]])
        together = network(levels)
        assert torch.equal(alone[0], together[0])
        assert torch.equal(alone[2], together[2])


class TestDistillationLosses:
    """See docs/methods/aand.md#checks and docs/methods/aand.md#distillation-losses."""

    def test_equal_and_opposite(self):
        levels = pyramid()
        same = distillation_losses(levels, levels, 10)
        assert abs(same["whole"].item()) + abs(same["hard"].item()) < 1e-5
        opposite = distillation_losses(levels, [-level for level in levels], 10)
        assert (opposite["whole"] + opposite["hard"]).item() == pytest.approx(12.0, abs=1e-5)

    def test_orthogonal(self):
        levels = [level.repeat(1, 2, 1, 1) for level in pyramid()]
        first = [torch.cat([level.chunk(2, 1)[0], torch.zeros_like(level.chunk(2, 1)[0])], dim=1) for level in levels]
        second = [level.roll(level.shape[1] // 2, dims=1) for level in first]
        losses = distillation_losses(first, second, 10)
        assert (losses["whole"] + losses["hard"]).item() == pytest.approx(6.0, abs=1e-5)

    def test_scaling(self):
        levels = pyramid()
        per_cell = [level * (torch.rand_like(level[:, :1]) + 0.5) for level in levels]
        losses = distillation_losses(levels, per_cell, 10)
        assert losses["hard"].item() == pytest.approx(0.0, abs=1e-5)
        assert losses["whole"].item() > 0.01
        constant = distillation_losses(levels, [3.0 * level for level in levels], 10)
        assert sum(loss.item() for loss in constant.values()) == pytest.approx(0.0, abs=1e-5)

    def test_equals_the_plain_form(self):
        targets, rebuilt = pyramid(0), [level.requires_grad_() for level in pyramid(1)]
        losses = distillation_losses(targets, rebuilt, 10)
        whole = sum(level.mean() for level in image_distances(targets, rebuilt))
        hard = sum(
            (1 - F.cosine_similarity(one, other, dim=1)).flatten(1).topk(10, dim=1).values.mean()
            for one, other in zip(targets, rebuilt, strict=True)
        )
        torch.testing.assert_close(losses["whole"], whole)
        torch.testing.assert_close(losses["hard"], hard)
        for one, other in zip(
            torch.autograd.grad(losses["whole"] + losses["hard"], rebuilt),
            torch.autograd.grad(whole + hard, rebuilt),
            strict=True,
        ):
            torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-7)

    def test_ten_cells_of_each_tile_and_level_are_hard(self):
        targets, rebuilt = pyramid(0, batch=3), [level.requires_grad_() for level in pyramid(1, batch=3)]
        distillation_losses(targets, rebuilt, 10)["hard"].backward()
        for level in rebuilt:
            assert (level.grad.abs().sum(dim=1) > 0).flatten(1).sum(dim=1).tolist() == [10, 10, 10]

    def test_plain_reverse_distillation_has_no_hard_cells(self):
        assert set(distillation_losses(pyramid(0), pyramid(1), 0)) == {"whole"}

    def test_targets_get_no_gradient_and_zero_cells_are_bearable(self):
        targets = [level.requires_grad_() for level in pyramid(0)]
        rebuilt = [torch.zeros_like(level).requires_grad_() for level in targets]
        losses = distillation_losses(targets, [torch.relu(level) for level in rebuilt], 10)
        sum(losses.values()).backward()
        assert all(level.grad is None for level in targets)
        assert all(torch.isfinite(level.grad).all() for level in rebuilt)
