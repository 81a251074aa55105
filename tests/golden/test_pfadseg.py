"""PFADSeg's and DeSTSeg's networks, losses and phases against docs/methods/pfadseg.md#checks."""

from contextlib import nullcontext

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from tests.interruptible_training import interruptible_training

from seamark.backbones.convolutional import PyramidNetwork
from seamark.backbones.families import build_network
from seamark.backbones.table import BACKBONES
from seamark.detectors.pfadseg.detector import Pfadseg, denoising_loss
from seamark.detectors.pfadseg.networks import DenoisingStudent, GuidedSegmentation
from seamark.detectors.pfadseg.rotated_pairs import FILL, RotatedPairMaker, rotated_mask, rotated_pixels
from seamark.errors import ConfigError, DataError, TrainingError
from seamark.learning.batches import TileReader, TrainingTiles
from seamark.networks.segmentation_network import absolute_loss, focal_loss, level_products
from seamark.settings.pfadseg import AttentionSettings, PfadsegSettings
from seamark.synthesis.pyramids import quarter_mask

PA = AttentionSettings()
MIXED = AttentionSettings(decoder_block="basic")
DESTSEG = AttentionSettings(pcar=False, aff=False, rcm=False)
RESNET18 = (64, 128, 256)
STOP = {"every_steps": 2, "min_steps": 1, "anomalies_per_tile": 1}


@pytest.fixture(autouse=True)
def one_thread():
    torch.set_num_threads(1)
    torch.manual_seed(0)


def count(module):
    return sum(parameter.numel() for parameter in module.parameters())


def toy(shape=(64, 64), **settings):
    block = {
        "backbone": "efficientnet_lite0",
        "weights": "random",
        "student_width": 0.5,
        "batch_size": 2,
        "steps": 3,
        "learning_rate": 0.1,
        "early_stop": STOP,
        "segmentation": {"width": 8, "steps": 3, "early_stop": STOP},
    }
    return Pfadseg(PfadsegSettings(**block | settings), shape, seed=3)


def pixels(number=4, side=64, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (number, side, side, 3), dtype=np.uint8)


def training_tiles(detector, number=4):
    reader = TileReader(pixels(number), detector.backbone.normalise, "cpu", detector.seed)
    return TrainingTiles(reader, TileReader(pixels(2, seed=1), detector.backbone.normalise, "cpu", detector.seed))


class TestParameters:
    """See docs/methods/pfadseg.md#checks."""

    def test_teacher(self):
        entry = BACKBONES["resnet18"]
        with torch.device("meta"):
            assert count(PyramidNetwork(entry, build_network(entry))) == 2_782_784

    @pytest.mark.parametrize(
        ("settings", "stages", "decoder", "total"),
        [
            (PA, (307_784, 1_162_640, 4_643_616, 18_560_576), (352_968, 1_408_400, 5_626_656, 19_608_128), 51_680_304),
            (MIXED, (307_784, 1_162_640, 4_643_616, 18_560_576), None, 38_172_664),
            (DESTSEG, None, None, 24_665_024),
        ],
    )
    def test_student(self, settings, stages, decoder, total):
        """See docs/methods/pfadseg.md#student."""
        with torch.device("meta"):
            student = DenoisingStudent(RESNET18, settings)
        assert count(student.stem) == 9_536
        assert stages in (None, tuple(count(stage) for stage in student.encoder))
        assert decoder in (None, tuple(count(stage) for stage in student.decoder))
        assert count(student.stem) + count(student.encoder) == (24_684_152 if stages else 11_176_512)
        assert count(student.decoder) == (26_996_152 if decoder else 13_488_512)
        assert count(student) == total

    @pytest.mark.parametrize(
        ("settings", "blocks", "context", "total"),
        [(PA, (3_010_192, 2_452_624), 272_896, 6_326_305), (DESTSEG, (1_738_240, 1_180_672), 4_196_864, 7_706_369)],
    )
    def test_segmentation(self, settings, blocks, context, total):
        """See docs/methods/pfadseg.md#guided-segmentation."""
        with torch.device("meta"):
            network = GuidedSegmentation(RESNET18, 256, settings)
        assert (count(network.first), count(network.second)) == blocks
        assert (count(network.context), count(network.head)) == (context, 590_593)
        assert count(network) == total

    @pytest.mark.parametrize("name", ["pcar", "aff", "rcm"])
    def test_each_switch_alone(self, name):
        with torch.device("meta"):
            alone = DESTSEG.model_copy(update={name: True})
            student, network = DenoisingStudent(RESNET18, alone), GuidedSegmentation(RESNET18, 256, alone)
        assert (count(student) > 24_665_024) == (name != "rcm")
        assert (count(network) < 7_706_369) == (name == "rcm")


class TestNetworks:
    def test_shapes_at_256_px(self):
        """See docs/methods/pfadseg.md#student."""
        student, seen = DenoisingStudent(RESNET18, PA).eval(), []
        for stage in (*student.encoder, *reversed(student.decoder)):
            stage.register_forward_hook(lambda _, given, out: seen.append(tuple(out.shape[1:])))
        with torch.no_grad():
            levels = student(torch.randn(1, 3, 256, 256))
            logits = GuidedSegmentation(RESNET18, 8, PA).eval()(levels)
        assert seen[:4] == [(64, 64, 64), (128, 32, 32), (256, 16, 16), (512, 8, 8)]
        assert seen[4:] == seen[3::-1]
        assert [tuple(level.shape[1:]) for level in levels] == seen[:3]
        assert logits.shape == (1, 64, 64)

    @pytest.mark.parametrize("size", [(352, 480), (256, 1056)])
    def test_rectangles(self, size):
        """See docs/methods/pfadseg.md#checks."""
        detector = toy(size, student_width=0.25).eval()
        assert detector.score(torch.randn(1, 3, *size)).shape == (1, size[0] // 4, size[1] // 4)

    @pytest.mark.parametrize("size", [(64, 80), (40, 64)])
    def test_other_sides_are_refused(self, size):
        with pytest.raises(ConfigError, match="is not a positive multiple of 32 px"):
            toy(size)

    @pytest.mark.parametrize("settings", [PA, MIXED, DESTSEG])
    def test_every_parameter_learns(self, settings):
        student = DenoisingStudent((8, 8, 8), settings)
        network = GuidedSegmentation((8, 8, 8), 16, settings)
        levels = student(torch.randn(2, 3, 64, 64))
        (network(levels).square().mean() + sum(level.sum() for level in levels)).backward()
        for module in (student, network):
            assert all(parameter.grad is not None for parameter in module.parameters())

    def test_signed_levels(self):
        images = torch.randn(2, 3, 64, 64)
        for signed in (False, True):
            lowest = [level.min().item() for level in DenoisingStudent((8, 8, 8), PA, signed=signed)(images)]
            assert all((low < 0) == signed for low in lowest)

    def test_blocks_start_like_those_of_destseg_where_aff_is_off(self):
        plain, fused = DenoisingStudent((8, 8, 8), DESTSEG), DenoisingStudent((8, 8, 8), PA)
        assert not any(block.branch[-1].weight.any() for stage in plain.encoder for block in stage)
        assert all(block.branch[-1].weight.all() for stage in plain.decoder for block in stage)
        assert all(block.branch[-1].weight.all() for stage in fused.encoder for block in stage)

    def test_channels_follow_the_backbone(self):
        detector = toy()
        assert detector.channels == (24, 40, 112)
        assert [level.shape[1] for level in detector.student.eval()(torch.randn(1, 3, 64, 64))] == [24, 40, 112]


class TestLosses:
    def test_cosine_loss_sums_over_the_batch(self):
        """See docs/methods/pfadseg.md#checks."""
        teacher, student = ([torch.randn(2, 5, side, side) for side in (8, 4, 2)] for _ in range(2))
        for level in student:
            level.requires_grad_()
        loss = denoising_loss(level_products(teacher, student))
        loss.backward()
        gradients = [level.grad.clone() for level in student]
        cosines = [F.cosine_similarity(one, other, dim=1) for one, other in zip(teacher, student, strict=True)]
        expected = sum((1 - cosine).mean(dim=(1, 2)).sum() for cosine in cosines)
        torch.testing.assert_close(loss, expected)
        twice = [[torch.cat([level, level]) for level in levels] for levels in (teacher, student)]
        doubled = denoising_loss(level_products(*twice))
        torch.testing.assert_close(doubled, 2 * loss)
        for level in student:
            level.grad = None
        doubled.backward()
        for level, gradient in zip(student, gradients, strict=True):
            torch.testing.assert_close(level.grad, 2 * gradient)

    def test_segmentation_losses(self):
        """See docs/methods/pfadseg.md#checks."""
        logits, target = torch.randn(2, 5, 6), torch.randint(0, 2, (2, 5, 6)).float()
        torch.testing.assert_close(focal_loss(logits, target, 0), F.binary_cross_entropy_with_logits(logits, target))
        assert focal_loss(torch.zeros(1, 2, 2), target[:1, :2, :2], 4).item() == pytest.approx(0.04332, abs=1e-5)
        assert focal_loss(100 * (2 * target - 1), target, 4).item() == 0.0
        assert absolute_loss(torch.zeros(1, 2, 2), target[:1, :2, :2]).item() == 0.5

    def test_target(self):
        """See docs/methods/pfadseg.md#checks."""
        ring = np.ones((4, 4), bool)
        ring[1:3, 1:3] = False
        assert not quarter_mask(ring).any()
        for inside, expected in (([(1, 1)], False), ([(1, 1), (2, 2)], True)):
            mask = np.zeros((4, 4), bool)
            mask[tuple(zip(*inside, strict=True))] = True
            assert quarter_mask(mask)[0, 0] == expected


class TestTurns:
    def test_quarters_and_angles(self):
        tile = pixels(1, 32)[0]
        assert np.array_equal(rotated_pixels(tile, 1, 0.0), np.rot90(tile))
        assert np.array_equal(rotated_pixels(tile, 0, 0.0), tile)
        turned = rotated_pixels(np.full((32, 32, 3), 200, np.uint8), 0, 20.0)
        assert turned[0, 0].tolist() == [FILL] * 3
        assert turned[16, 16].tolist() == [200] * 3
        mask = rotated_mask(np.ones((32, 32), bool), 0, 20.0)
        assert not mask[0, 0]
        assert mask[16, 16]

    def test_both_twins_are_turned(self):
        settings = PfadsegSettings()
        reader = TileReader(pixels(1), lambda tiles: tiles, "cpu", 5)
        make = RotatedPairMaker(reader, settings.synthesis, quarter_turns=True, turn_deg=0.0)
        seen = set()
        for seed in range(12):
            pair = make(0, np.random.default_rng(seed), np.random.default_rng(seed))
            assert np.array_equal(pair.clean[~pair.mask], pair.anomalous[~pair.mask])
            (turn,) = [
                quarters for quarters in range(4) if np.array_equal(pair.clean, np.rot90(pixels(1)[0], quarters))
            ]
            seen.add(turn)
        assert seen == {0, 1, 2, 3}

    def test_without_turns_the_tile_stays(self):
        reader = TileReader(pixels(1), lambda tiles: tiles, "cpu", 5)
        make = RotatedPairMaker(reader, PfadsegSettings().synthesis, quarter_turns=False, turn_deg=0.0)
        assert np.array_equal(make(0, *(np.random.default_rng(1) for _ in range(2))).clean, pixels(1)[0])

    def test_quarter_turns_need_square_tiles(self):
        with pytest.raises(ConfigError, match="quarter_turns needs square tiles, these are 96 x 64 px"):
            toy((64, 96), quarter_turns=True)


class TestPhases:
    def test_idle_networks_do_not_run(self, monkeypatch):
        """See docs/methods/pfadseg.md#training."""
        detector = toy(early_stop=None, segmentation={"width": 8, "early_stop": None})
        student, segmentation = detector.phases(training_tiles(detector))
        seen, graph = [], []
        pyramid = detector.backbone.pyramid
        monkeypatch.setattr(detector.backbone, "pyramid", lambda images: (seen.append(images), pyramid(images))[1])
        detector.student.register_forward_hook(lambda _, given, out: graph.append(out[0].requires_grad))
        detector.segmentation.register_forward_hook(lambda *_: seen.append("segmentation"))
        batch = student.batch(None, 0, [0, 1])
        student.step(batch, nullcontext)
        assert len(seen) == 1
        assert torch.equal(seen[0], batch.clean())
        assert graph == [True]
        seen.clear()
        batch = segmentation.batch(None, 0, [0, 1])
        segmentation.step(batch, nullcontext)
        assert len(seen) == 2
        assert torch.equal(seen[0], batch.anomalous())
        assert graph == [True, False]

    def test_only_the_network_of_a_phase_learns(self):
        """See docs/methods/pfadseg.md#checks."""
        detector = toy()
        for phase, part in zip(detector.phases(training_tiles(detector)), ("student", "segmentation"), strict=True):
            before = {name: tensor.clone() for name, tensor in detector.state_dict().items()}
            detector.train()
            losses = phase.step(phase.batch(None, 0, [0, 1]), nullcontext)
            assert "validation_ap" in losses
            changed = {name for name, tensor in detector.state_dict().items() if not torch.equal(tensor, before[name])}
            assert changed
            assert all(name.startswith(f"{part}.") for name in changed)

    def test_learning_rates(self):
        detector = toy(learning_rate=0.5, segmentation={"width": 8, "early_stop": None})
        student, segmentation = detector.phases(training_tiles(detector))
        assert [group["lr"] for group in student.optimisers["student"].param_groups] == [0.5]
        assert [group["lr"] for group in segmentation.optimisers["segmentation"].param_groups] == [0.1, 0.1, 0.01, 0.01]
        covered = sum(len(group["params"]) for group in segmentation.optimisers["segmentation"].param_groups)
        assert covered == len(list(detector.segmentation.parameters()))
        assert all(
            (group["momentum"], group["weight_decay"]) == (0.9, 1e-4)
            for group in student.optimisers["student"].param_groups
        )

    def test_the_scale_of_the_calibration_is_noted(self):
        for rcm in (True, False):
            detector = toy(attention={"rcm": rcm}, early_stop=None)
            phase = detector.phases(training_tiles(detector))[1]
            losses = phase.step(phase.batch(None, 0, [0, 1]), nullcontext)
            assert ("layer_scale" in losses) == rcm

    def test_one_tile_is_too_few(self):
        detector = toy()
        with pytest.raises(DataError, match="at least 2"):
            detector.phases(training_tiles(detector, number=1))

    def test_cosine_map_is_a_product_over_levels(self):
        detector = toy().eval()
        images = torch.randn(2, 3, 64, 64)
        with torch.no_grad():
            pyramids = detector.backbone.pyramid(images), detector.student(images)
        expected = torch.ones(2, 16, 16)
        for teacher, student in zip(*pyramids, strict=True):
            level = 1 - F.cosine_similarity(teacher, student, dim=1)
            expected *= F.interpolate(level[:, None], (16, 16), mode="bilinear")[:, 0]
        torch.testing.assert_close(detector.cosine_map(images), expected)

    def test_layers_are_fixed(self):
        with pytest.raises(ValueError, match="leave it null"):
            PfadsegSettings(layers=[1, 2])


def full_training(path, stop_after=None):
    """Three steps of the student, then three of the segmentation network."""
    detector = toy(checkpoint_every_s=0.0, turn_deg=5.0)
    return detector, interruptible_training(detector, path, pixels(), pixels(2, seed=1), stop_after)


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory):
    detector, loop = full_training(tmp_path_factory.mktemp("pfadseg") / "unbroken")
    return detector, loop.run()


@pytest.mark.parametrize(("phase", "part", "loss"), [(0, "student", "cosine"), (1, "segmentation", "focal")])
def test_a_loss_that_is_not_finite_ends_the_training(tmp_path, phase, part, loss):
    detector, loop = full_training(tmp_path / "poisoned")
    with torch.no_grad():
        next(getattr(detector, part).parameters()).fill_(float("nan"))
    with pytest.raises(TrainingError, match=f"phase {part}, step 1: loss {loss} is nan"):
        loop.run()


def test_both_phases_are_recorded(unbroken):
    _, records = unbroken
    assert [(record.name, record.steps) for record in records] == [("student", 3), ("segmentation", 3)]
    assert set(records[0].losses) == {"cosine", "validation_ap"}
    assert set(records[1].losses) == {"focal", "absolute", "validation_ap", "layer_scale"}


def test_defaults_are_the_papers():
    settings = PfadsegSettings()
    assert (settings.backbone, settings.steps, settings.batch_size) == ("resnet18", 3000, 16)
    assert (settings.learning_rate, settings.momentum, settings.weight_decay) == (0.5, 0.9, 1e-4)
    assert settings.synthesis.beta == (0.15, 1.0)
    assert (settings.segmentation.steps, settings.segmentation.width) == (4000, 256)
    assert (settings.segmentation.block_learning_rate, settings.segmentation.head_learning_rate) == (0.1, 0.01)
    assert settings.segmentation.focal_gamma == 4.0
    assert settings.early_stop is settings.segmentation.early_stop is None
    assert PA.pcar
    assert PA.aff
    assert PA.rcm
