"""AURD's segmentation network, losses, augmentation and phases against docs/methods/urd.md#checks."""

from contextlib import nullcontext

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from tests.interruptible_training import interruptible_training

from seamark.detectors.feature_distances import cell_distances
from seamark.detectors.urd.aurd import Aurd
from seamark.detectors.urd.detector import Urd
from seamark.detectors.urd.segmentation import SegmentationNetwork, distance_stack, feature_products
from seamark.errors import DataError, TrainingError
from seamark.learning.anomalous_pairs import PairBatch, PairMaker, SyntheticValidation
from seamark.learning.batches import TileReader, TrainingTiles
from seamark.learning.best_weights import EarlyStopping, average_precision
from seamark.networks.segmentation_network import absolute_loss, focal_loss
from seamark.settings.anomalous_pairs import EarlyStopSettings, PairAugmentationSettings
from seamark.settings.aurd import AurdSettings
from seamark.settings.synthesis import SynthesisSettings
from seamark.settings.urd import UrdSettings
from seamark.synthesis.pair_augmentation import Camera, CameraPose, change_light

EVERYTHING = PairAugmentationSettings(
    light_probability=1.0, noise_probability=1.0, blur_probability=0.0, flip_probability=1.0, turn_probability=1.0
)
NOTHING = PairAugmentationSettings(light_probability=0.0, noise_probability=0.0, blur_probability=0.0)
STOP = {"every_steps": 2, "min_steps": 1, "anomalies_per_tile": 1}


@pytest.fixture(autouse=True)
def one_thread():
    torch.set_num_threads(1)
    torch.manual_seed(0)


def count(module):
    return sum(parameter.numel() for parameter in module.parameters())


def toy(kind=Aurd, **settings):
    block = {"backbone": "efficientnet_lite0", "weights": "random", "batch_size": 2, "steps": 3, "early_stop": STOP}
    if kind is Aurd:
        block["segmentation"] = {"width": 8, "steps": 3, "early_stop": STOP}
    return kind(kind.Settings(**block | settings), (64, 64), seed=3)


def pixels(number=4, side=64, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (number, side, side, 3), dtype=np.uint8)


def normalise(tiles):
    return tiles.permute(0, 3, 1, 2).float()


def maker(augmentation=None, number=4, side=64):
    return PairMaker(TileReader(pixels(number, side), normalise, "cpu", 5), SynthesisSettings(), augmentation)


def training_tiles(detector, number=4):
    reader = TileReader(pixels(number), detector.backbone.normalise, "cpu", detector.seed)
    return TrainingTiles(reader, TileReader(pixels(2, seed=1), detector.backbone.normalise, "cpu", detector.seed))


class TestNetwork:
    """See docs/methods/urd.md#segmentation-network and docs/methods/urd.md#checks."""

    @pytest.mark.parametrize(
        ("inputs", "first", "total"), [(1792, 5_178_880, 11_147_009), (448, 1_738_240, 7_706_369), (3, None, 6_567_169)]
    )
    def test_parameters(self, inputs, first, total):
        with torch.device("meta"):
            network = SegmentationNetwork(inputs)
        assert first in (None, count(network.blocks[0]))
        assert count(network.blocks[1]) == 1_180_672
        assert count(network.pyramid) == 4_196_864
        assert count(network.head) == 590_593
        assert count(network) == total

    def test_shapes_and_initial_weights(self):
        network = SegmentationNetwork(12, 16)
        assert network(torch.randn(2, 12, 9, 14)).shape == (2, 9, 14)
        block = network.blocks[1].branch[0][0].weight
        assert block.std().item() == pytest.approx((2 / (9 * 16)) ** 0.5, rel=0.1)
        assert network.head[-1].weight.abs().max().item() <= 16**-0.5
        assert network.head[-1].bias is not None

    def test_dilated_branches_see_as_far_as_they_should(self):
        pyramid = SegmentationNetwork(4, 4).pyramid.eval()
        for branch, dilation in zip(pyramid.dilated, (6, 12, 18), strict=True):
            features = torch.zeros(1, 4, 41, 41, requires_grad=True)
            branch[0](features)[0, 0, 20, 20].backward()
            rows = features.grad[0].abs().sum(dim=(0, 2)).nonzero().flatten().tolist()
            assert rows == [20 - dilation, 20, 20 + dilation]

    def test_products_hold_the_cosine(self):
        teacher, student = ([torch.randn(2, wide, side, side) for wide, side in ((4, 8), (6, 4))] for _ in range(2))
        products = feature_products(teacher, student, (8, 8))
        assert products.shape == (2, 10, 8, 8)
        distances = cell_distances(teacher, student)
        torch.testing.assert_close(products[:, :4].sum(dim=1), 1.0 - distances[0])
        cosine = F.interpolate((1.0 - distances[1])[:, None], (8, 8), mode="bilinear", align_corners=False)[:, 0]
        torch.testing.assert_close(products[:, 4:].sum(dim=1), cosine)
        torch.testing.assert_close(distance_stack(distances, (8, 8))[:, 1], 1.0 - cosine)

    def test_levels_are_interpolated_with_their_cells_in_place(self):
        """A fine cell beside the border lies a quarter of a coarse cell inwards.

        Source: docs/methods/urd.md#segmentation-network.
        """
        coarse = torch.arange(4.0).expand(1, 4, 4)
        row = distance_stack([coarse], (8, 8))[0, 0, 3]
        assert row.tolist() == [0.0, 0.25, 0.75, 1.25, 1.75, 2.25, 2.75, 3.0]

    def test_overfits_one_batch(self):
        """See docs/methods/urd.md#checks."""
        network = SegmentationNetwork(56, 32)
        features = torch.randn(4, 56, 16, 16)
        target = (F.avg_pool2d(torch.randn(4, 1, 18, 18), 3, 1)[:, 0] > 0.3).float()
        optimiser = torch.optim.SGD(network.parameters(), lr=0.05, momentum=0.9, weight_decay=1e-4)
        curve = []
        for _ in range(60):
            logits = network(features)
            losses = focal_loss(logits, target, 4.0), absolute_loss(logits, target)
            optimiser.zero_grad()
            sum(losses).backward()
            optimiser.step()
            curve.append([loss.item() for loss in losses])
        assert curve[0][0] + curve[0][1] < 0.7
        assert curve[-1][0] < 0.002
        assert curve[-1][1] < 0.05


class TestLosses:
    """See docs/methods/urd.md#checks."""

    def test_focal(self):
        logits, target = torch.randn(2, 5, 5), (torch.rand(2, 5, 5) > 0.5).float()
        expected = F.binary_cross_entropy_with_logits(logits, target)
        torch.testing.assert_close(focal_loss(logits, target, 0.0), expected)
        undecided = focal_loss(torch.zeros(1, 4, 4), torch.ones(1, 4, 4), 4.0)
        assert undecided.item() == pytest.approx(2.0**-4 * np.log(2.0), rel=1e-5)
        assert focal_loss(200 * (2 * target - 1), target, 4.0).item() == 0.0

    def test_absolute(self):
        target = (torch.rand(2, 5, 5) > 0.5).float()
        assert absolute_loss(torch.zeros(2, 5, 5), target).item() == 0.5
        assert absolute_loss(200 * (2 * target - 1), target).item() == pytest.approx(0.0, abs=1e-6)

    @pytest.mark.parametrize("sign", [-1.0, 1.0])
    def test_certain_mistakes_have_finite_gradients(self, sign):
        logits = torch.full((1, 2, 2), 300.0 * sign, requires_grad=True)
        focal_loss(logits, torch.tensor([[[0.0, 1.0], [0.0, 1.0]]]), 4.0).backward()
        assert torch.isfinite(logits.grad).all()


class TestAugmentation:
    """See docs/methods/urd.md#shared-augmentation and docs/methods/urd.md#checks."""

    def test_without_probabilities_it_is_plain_urd(self):
        plain, augmented = (PairBatch(maker(given), "distillation", 7, range(4)) for given in (None, NOTHING))
        for one, other in zip(plain.pairs, augmented.pairs, strict=True):
            assert np.array_equal(one.clean, other.clean)
            assert np.array_equal(one.anomalous, other.anomalous)
            assert np.array_equal(one.mask, other.mask)

    def test_twins_differ_by_the_anomaly_alone(self):
        batch = PairBatch(maker(EVERYTHING, number=8), "distillation", 0, range(8))
        assert any(pair.mask.any() for pair in batch.pairs)
        for place, pair in enumerate(batch.pairs):
            assert np.array_equal(pair.clean[~pair.mask], pair.anomalous[~pair.mask])
            assert not np.array_equal(pair.clean, batch.reader.pixels(place))

    def test_blur_reaches_two_pixels_beyond_the_anomaly(self):
        blurred = EVERYTHING.model_copy(update={"blur_probability": 1.0})
        for pair in PairBatch(maker(blurred, number=8), "distillation", 0, range(8)).pairs:
            near = F.max_pool2d(torch.from_numpy(pair.mask)[None].float(), 5, 1, 2)[0].bool().numpy()
            assert np.array_equal(pair.clean[~near], pair.anomalous[~near])

    def test_pairs_depend_on_step_and_place_alone(self):
        first, again, later = (PairBatch(maker(EVERYTHING), "distillation", step, range(4)) for step in (3, 3, 4))
        assert np.array_equal(first.pairs[2].anomalous, again.prepare().pairs[2].anomalous)
        assert not np.array_equal(first.pairs[2].anomalous, later.pairs[2].anomalous)

    def test_placement(self):
        tile = pixels(1, 32)[0]
        assert np.array_equal(CameraPose(True, False, 0.0).pixels(tile), tile[::-1])
        assert np.array_equal(CameraPose(False, True, 0.0).pixels(tile), tile[:, ::-1])
        assert np.abs(CameraPose(False, False, 180.0).pixels(tile).astype(int) - tile[::-1, ::-1]).max() <= 1
        mask = np.zeros((32, 48), np.bool_)
        mask[:8, :8] = True
        turned = CameraPose(False, False, 190.0).mask(mask)
        assert turned.shape == mask.shape
        assert turned[-4:, -4:].all()
        assert not turned[:16].any()

    def test_objects_keep_their_place(self):
        settings = AurdSettings().augmentation
        drawn = [CameraPose.drawn(settings, np.random.default_rng(seed)) for seed in range(20)]
        assert set(drawn) == {CameraPose(False, False, 0.0)}

    def test_textures_are_flipped_and_turned_as_often_as_set(self):
        settings = PairAugmentationSettings(flip_probability=0.5, turn_probability=0.5)
        drawn = [CameraPose.drawn(settings, np.random.default_rng(seed)) for seed in range(400)]
        for shares in (
            np.mean([place.flip_rows for place in drawn]),
            np.mean([place.flip_columns for place in drawn]),
            np.mean([place.angle_deg != 0 for place in drawn]),
        ):
            assert 0.4 < shares < 0.6
        angles = [place.angle_deg for place in drawn if place.angle_deg]
        assert 170.0 <= min(angles) < 172.0
        assert 188.0 < max(angles) <= 190.0
        free = PairAugmentationSettings(turn_probability=1.0, turn_deg=180.0)
        angles = [CameraPose.drawn(free, np.random.default_rng(seed)).angle_deg for seed in range(400)]
        assert np.histogram(angles, 8, (0.0, 360.0))[0].min() > 25

    def test_light(self):
        tile = np.full((8, 8, 3), (100, 120, 140), np.uint8)
        fixed = {"light_probability": 1.0, "contrast": (1.0, 1.0), "saturation": (1.0, 1.0), "brightness": (1.2, 1.2)}
        random = np.random.default_rng(0)
        brighter = change_light(tile, PairAugmentationSettings(**fixed), random)
        assert brighter[0, 0].tolist() == [120, 144, 168]
        grey = change_light(
            tile, PairAugmentationSettings(**fixed | {"brightness": (1.0, 1.0), "saturation": (0.0, 0.0)}), random
        )
        assert grey[0, 0].tolist() == [116, 116, 116]
        flat = change_light(
            pixels(1)[0], PairAugmentationSettings(**fixed | {"brightness": (1.0, 1.0), "contrast": (0.0, 0.0)}), random
        )
        assert flat.std() == 0.0

    def test_camera_shows_both_twins_alike(self):
        settings = PairAugmentationSettings(noise_probability=1.0, blur_probability=1.0)
        camera = Camera.drawn((64, 64, 3), settings, np.random.default_rng(0))
        tile = pixels(1)[0]
        assert np.array_equal(camera.pixels(tile), camera.pixels(tile.copy()))
        assert not np.array_equal(camera.pixels(tile), tile)


class TestEarlyStopping:
    """See docs/methods/urd.md#segmentation-training."""

    def test_average_precision(self):
        scores = np.array([0.9, 0.8, 0.7, 0.6], np.float32)
        assert average_precision(scores, np.array([True, False, True, False])) == pytest.approx(5 / 6)
        assert average_precision(scores, np.array([True, True, False, False])) == 1.0
        assert average_precision(np.zeros(4, np.float32), np.array([False, True, False, False])) == 0.25

    def test_ends_without_improvement_but_not_too_early(self):
        settings = EarlyStopSettings(every_steps=10, patience=2, min_improvement=0.01, min_steps=50)
        module = torch.nn.Linear(1, 1)
        stopping = EarlyStopping(settings, {"module": module}, maker(), lambda images: images[:, 0, ::4, ::4])
        values = iter([0.3, 0.305, 0.309, 0.31, 0.2, 0.5])
        stopping._measure = lambda: next(values)
        ended = []
        for done in range(1, 60):
            with torch.no_grad():
                module.bias.fill_(done)
            stopping.after_step(done, 100)
            ended.append(stopping.stopped)
        assert ended.index(True) == 49
        assert stopping.best == 0.3
        stopping.restore_best()
        assert module.bias.item() == 10.0

    def test_validation_anomalies_are_the_same_each_time_and_not_those_of_training(self):
        chosen = SyntheticValidation(maker(number=5), EarlyStopSettings(max_tiles=3, anomalies_per_tile=2))
        assert chosen.tiles == [0, 1, 3]
        first, again = list(chosen), list(chosen)
        assert len(first) == 6
        for (image, mask), (image_again, mask_again) in zip(first, again, strict=True):
            assert torch.equal(image, image_again)
            assert np.array_equal(mask, mask_again)
            assert mask.shape == (16, 16)
            assert mask.any()
        assert not torch.equal(first[0][0], first[1][0])

    def test_validation_without_anomalies_is_an_error(self):
        make = PairMaker(TileReader(pixels(1), normalise, "cpu", 0), SynthesisSettings(probability=0.0))
        with pytest.raises(DataError, match=r"covered no cell; raise synthesis\.probability"):
            list(SyntheticValidation(make, EarlyStopSettings()))


class TestPhases:
    def test_only_the_segmentation_learns_in_its_phase(self):
        """See docs/methods/urd.md#checks."""
        detector = toy()
        _, phase = detector.phases(training_tiles(detector))
        before = {name: tensor.clone() for name, tensor in detector.state_dict().items()}
        detector.train()
        losses = phase.step(phase.batch(None, 0, [0, 1]), nullcontext)
        assert set(losses) == {"focal", "absolute", "validation_ap"}
        changed = {name for name, tensor in detector.state_dict().items() if not torch.equal(tensor, before[name])}
        assert changed
        assert all(name.startswith("segmentation.") for name in changed)
        assert changed >= {f"segmentation.{name}" for name, _ in detector.segmentation.named_parameters()}

    def test_distillation_without_augmentation_is_that_of_urd(self):
        states = []
        for kind, extra in ((Urd, {}), (Aurd, {"augmentation": NOTHING})):
            detector = toy(kind, early_stop=None, **extra)
            phase = detector.phases(training_tiles(detector))[0]
            losses = phase.step(phase.batch(None, 0, [0, 1]), nullcontext)
            states.append((losses, detector.teacher.state_dict(), detector.student.state_dict()))
        for one, other in zip(*states, strict=True):
            assert all(torch.equal(one[name], other[name]) for name in one)

    def test_without_a_segmentation_network_the_maps_are_summed_as_in_urd(self):
        detector = toy(segmentation=None, augmentation=EVERYTHING).eval()
        (phase,) = detector.phases(training_tiles(detector))
        assert (phase.name, phase.make.augmentation) == ("distillation", EVERYTHING)
        assert {name.partition(".")[0] for name in detector.state()} == {"teacher", "student"}
        images = torch.randn(2, 3, 64, 64)
        plain = toy(Urd).eval()
        plain.load(detector.state())
        assert torch.equal(detector.score(images), plain.score(images))

    def test_scores_are_probabilities(self):
        for given in ("product", "cosine"):
            detector = toy(segmentation={"input": given, "width": 8}).eval()
            scores = detector.score(torch.randn(2, 3, 64, 96))
            assert 0.0 <= scores.min() <= scores.max() <= 1.0

    def test_one_tile_is_too_few(self):
        detector = toy()
        with pytest.raises(DataError, match="at least 2"):
            detector.phases(training_tiles(detector, number=1))

    def test_defaults_are_the_papers(self):
        settings = AurdSettings()
        assert (settings.batch_size, settings.steps, settings.segmentation.steps) == (4, 10_000, 4_000)
        assert (settings.student_learning_rate, settings.teacher_learning_rate) == (0.005, 0.0001)
        assert (settings.segmentation.learning_rate, settings.segmentation.momentum) == (0.001, 0.9)
        assert (settings.segmentation.width, settings.segmentation.focal_gamma) == (256, 4.0)
        assert settings.early_stop == settings.segmentation.early_stop == EarlyStopSettings()
        assert (UrdSettings().batch_size, UrdSettings().steps) == (16, 5_000)


def full_training(path, stop_after=None):
    """Three steps of distillation, then three of segmentation."""
    detector = toy(checkpoint_every_s=0.0)
    return detector, interruptible_training(detector, path, pixels(), pixels(2, seed=1), stop_after)


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory):
    detector, loop = full_training(tmp_path_factory.mktemp("aurd") / "unbroken")
    return detector, loop.run()


def test_a_loss_that_is_not_finite_ends_the_training(tmp_path):
    detector, loop = full_training(tmp_path / "poisoned")
    with torch.no_grad():
        next(detector.student.parameters()).fill_(float("nan"))
    with pytest.raises(TrainingError, match="phase distillation, step 1: loss student is nan"):
        loop.run()


def test_both_phases_are_recorded(unbroken):
    _, records = unbroken
    assert [(record.name, record.steps) for record in records] == [("distillation", 3), ("segmentation", 3)]
    assert set(records[1].losses) == {"focal", "absolute", "validation_ap"}
