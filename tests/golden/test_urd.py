"""URD's networks, losses, order of a step and map against docs/methods/urd.md#checks."""

from contextlib import nullcontext

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from scipy.ndimage import gaussian_filter

from seamark.backbones.convolutional import PyramidNetwork
from seamark.backbones.families import build_network
from seamark.backbones.table import BACKBONES
from seamark.detectors.feature_distances import anomaly_map, cell_distances, map_operator
from seamark.detectors.urd import detector as urd_module
from seamark.detectors.urd.detector import Urd
from seamark.detectors.urd.guided_injection import GuidedInjection, Student, halved, similarity
from seamark.detectors.urd.losses import image_distances, student_loss, teacher_losses
from seamark.errors import ConfigError
from seamark.learning.batches import TileReader, TrainingTiles
from seamark.networks.reverse_distillation import DecoderStage, MirrorDecoder, OneClassBottleneck, inner_width
from seamark.settings.urd import UrdSettings
from seamark.synthesis.pyramids import cascaded_masks

WIDE = (256, 512, 1024)
SHAPES = [(16, 16), (8, 8), (4, 4)]


@pytest.fixture(autouse=True)
def one_thread():
    torch.set_num_threads(1)
    torch.manual_seed(0)


def count(module):
    return sum(parameter.numel() for parameter in module.parameters())


def pyramid(channels=(4, 6, 8), side=16, batch=2, seed=0, signed=False):
    generator = torch.Generator().manual_seed(seed)
    levels = [
        torch.randn(batch, wide, side >> level, side >> level, generator=generator)
        for level, wide in enumerate(channels)
    ]
    return levels if signed else [level.abs() for level in levels]


@pytest.fixture(scope="module")
def encoder():
    entry = BACKBONES["wide_resnet50_2"]
    with torch.device("meta"):
        return PyramidNetwork(entry, build_network(entry))


class TestSizes:
    """See docs/methods/urd.md#checks."""

    def test_encoder(self, encoder):
        assert count(encoder) == 24_862_528
        stem, stages = encoder.parts[0][:-1], [encoder.parts[0][-1], *encoder.parts[1:]]
        assert [count(module) for module in stem if count(module)] == [9_408, 128]
        assert [count(stage) for stage in stages] == [634_368, 3_482_624, 20_736_000]

    def test_bottleneck_and_decoder(self):
        with torch.device("meta"):
            bottleneck = OneClassBottleneck(WIDE)
            decoder = MirrorDecoder(WIDE, bottleneck.outputs)
        shallow = [count(part) for convolution in bottleneck.shallow for part in convolution if count(part)]
        assert shallow == [1_179_648, 1_024, 4_718_592, 2_048]
        assert [count(part) for part in bottleneck.middle if count(part)] == [4_718_592, 2_048]
        assert count(bottleneck.embedding) == 48_263_168
        assert count(bottleneck) == 58_885_120
        assert bottleneck.outputs == 2048
        assert [count(stage) for stage in decoder.stages] == [17_840_128, 5_317_632, 1_759_744]
        assert [len(stage) for stage in decoder.stages] == [3, 4, 6]
        assert count(decoder) == 24_917_504

    @pytest.mark.parametrize(
        ("shallow", "deep", "sizes"),
        [
            (512, 1024, (526_336, 9_439_232, 9_439_232, 18_876_416)),
            (256, 512, (132_096, 2_360_320, 2_360_320, 4_719_616)),
        ],
    )
    def test_injection(self, shallow, deep, sizes):
        with torch.device("meta"):
            unit = GuidedInjection(shallow, deep, gate=True)
        assert (count(unit.project), count(unit.fuse_teacher), count(unit.mix), count(unit.join)) == sizes

    @pytest.mark.parametrize(
        ("mode", "total"), [("similarity", 131_656_192), ("concat", 119_856_640), ("none", 83_802_624)]
    )
    def test_student(self, mode, total, encoder):
        with torch.device("meta"):
            student = Student(WIDE, mode)
        assert count(student) == total
        assert count(student.injections) == {"similarity": 47_853_568, "concat": 36_054_016, "none": 0}[mode]
        if mode == "similarity":
            assert count(student) + count(encoder) == 156_518_720

    @pytest.mark.parametrize(("height", "width"), [(256, 256), (512, 608), (352, 480), (256, 1056)])
    def test_shapes(self, encoder, height, width):
        with torch.device("meta"):
            student = Student(WIDE, "similarity")
            levels = encoder(torch.empty(1, 3, height, width))
            embedding = student.bottleneck(levels)
            rebuilt = student(levels)
        expected = [(1, wide, height // stride, width // stride) for wide, stride in zip(WIDE, (4, 8, 16), strict=True)]
        assert [tuple(level.shape) for level in levels] == expected
        assert [tuple(level.shape) for level in rebuilt] == expected
        assert embedding.shape == (1, 2048, height // 32, width // 32)

    @pytest.mark.parametrize("mode", ["similarity", "concat", "none"])
    def test_every_parameter_gets_a_gradient(self, mode):
        student = Student((4, 6, 8), mode)
        sum(level.square().sum() for level in student(pyramid())).backward()
        assert all(parameter.grad is not None and parameter.grad.abs().sum() > 0 for parameter in student.parameters())

    def test_channels_of_other_pyramids(self):
        assert inner_width(1024, 1.0) == 1024
        assert inner_width(40, 2.0) == 80
        assert inner_width(24, 0.1) == 8
        with torch.device("meta"):
            narrow, wide = (Student((24, 40, 112), "none", width, signed=True) for width in (1.0, 2.0))
        assert narrow.bottleneck.outputs == 224
        assert wide.bottleneck.outputs == 448
        assert count(narrow) < count(wide)

    @pytest.mark.parametrize(("height", "width"), [(352, 480), (256, 1056)])
    def test_maps_of_rectangles(self, height, width):
        detector = toy((height, width)).eval()
        assert detector.map_shape == (height // 4, width // 4)
        assert detector.score(torch.randn(1, 3, height, width)).shape == (1, height // 4, width // 4)

    @pytest.mark.parametrize("shape", [(240, 256), (256, 16), (256, 100)])
    def test_sides_that_do_not_fit(self, shape):
        with pytest.raises(ConfigError, match="not a positive multiple of 32 px; set the grid's input_px to"):
            toy(shape)


class TestInitialWeights:
    """See docs/methods/urd.md#guided-injection."""

    def test_convolutions_are_xavier_and_norms_neutral(self):
        student = Student((32, 64, 128), "similarity")
        weight = student.injections[0].join[0].weight
        assert weight.shape == (128, 256, 3, 3)
        assert weight.std().item() == pytest.approx((2 / (9 * (128 + 256))) ** 0.5, rel=0.01)
        transposed = student.decoder.stages[0][0].shortcut[0].weight
        assert transposed.abs().max().item() <= (1 / (transposed.shape[1] * 4)) ** 0.5
        norms = [module for module in student.modules() if isinstance(module, torch.nn.BatchNorm2d)]
        assert all(bool((norm.weight == 1).all()) and not norm.bias.any() for norm in norms)
        assert {(norm.eps, norm.momentum) for norm in norms} == {(1e-5, 0.1)}


class TestInjection:
    """See docs/methods/urd.md#checks."""

    def test_halving_is_the_bilinear_resize(self):
        features = torch.randn(2, 3, 8, 12, dtype=torch.float64)
        expected = F.interpolate(features, scale_factor=0.5, mode="bilinear", align_corners=False)
        torch.testing.assert_close(halved(features), expected, rtol=0.0, atol=1e-15)

    @pytest.mark.parametrize("alike", [0.0, 1.0])
    def test_the_gate_decides_between_teacher_and_decoder(self, alike, monkeypatch):
        unit = GuidedInjection(3, 6, gate=True).eval()
        features, deep, shallow = torch.rand(2, 6, 4, 4), torch.rand(2, 6, 4, 4), torch.rand(2, 3, 8, 8)
        monkeypatch.setattr(
            "seamark.detectors.urd.guided_injection.similarity", lambda first, _: torch.full_like(first[:, :1], alike)
        )
        information = unit.teacher_information(deep, shallow) if alike else features
        expected = unit.join(torch.cat([features, unit.mix(information)], dim=1))
        torch.testing.assert_close(unit(features, deep, shallow), expected)

    def test_without_gate_the_teacher_is_simply_joined(self):
        unit = GuidedInjection(3, 6, gate=False).eval()
        features, deep, shallow = torch.rand(2, 6, 4, 4), torch.rand(2, 6, 4, 4), torch.rand(2, 3, 8, 8)
        expected = unit.join(torch.cat([features, unit.teacher_information(deep, shallow)], dim=1))
        torch.testing.assert_close(unit(features, deep, shallow), expected)

    @pytest.mark.parametrize("signed", [False, True])
    def test_similarity_is_a_share_without_gradient(self, signed):
        first, second = (torch.randn(2, 5, 7, 7, requires_grad=True) for _ in range(2))
        alike = similarity(first if signed else first.abs(), second if signed else second.abs())
        assert alike.shape == (2, 1, 7, 7)
        assert not alike.requires_grad
        assert 0.0 <= alike.min() <= alike.max() <= 1.0

    def test_no_gradient_reaches_the_teacher(self):
        teacher = [level.requires_grad_() for level in pyramid()]
        sum(level.sum() for level in Student((4, 6, 8), "similarity")(teacher)).backward()
        assert all(level.grad is None for level in teacher)

    def test_levels_are_signed_only_where_the_backbone_is(self):
        relu, linear = (Student((4, 6, 8), "none", signed=signed).eval()(pyramid()) for signed in (False, True))
        assert all(level.min() >= 0 for level in relu)
        assert all(level.min() < 0 for level in linear)
        stage = DecoderStage(4, 2, 4, 3, signed=True)
        assert [block.signed for block in stage] == [False, False, True]


class TestLosses:
    """See docs/methods/urd.md#checks."""

    def test_teacher_that_equals_the_expert(self):
        clean, anomalous = pyramid(seed=1), pyramid(seed=2)
        masks = [(torch.rand(2, *shape) > 0.5).float() for shape in SHAPES]
        losses = teacher_losses(clean, anomalous, clean, anomalous, masks)
        assert abs(losses["teacher_normal"]) < 1e-6
        assert abs(losses["teacher_whole"]) < 1e-6
        expected = sum(
            (1 - F.cosine_similarity(one, other) - mask).abs().mean()
            for one, other, mask in zip(anomalous, clean, masks, strict=True)
        )
        assert losses["teacher_anomaly"] == pytest.approx(expected.item(), abs=1e-6)

    @pytest.mark.parametrize(("value", "expected"), [(0.0, 0.0), (1.0, 3.0)])
    def test_identical_images_under_an_empty_and_a_full_mask(self, value, expected):
        clean = pyramid()
        masks = [torch.full((2, *shape), value) for shape in SHAPES]
        assert teacher_losses(clean, clean, clean, clean, masks)["teacher_anomaly"] == pytest.approx(expected, abs=1e-5)

    def test_student_loss_at_its_ends(self):
        target = pyramid(signed=True)
        opposite = [-level for level in target]
        assert student_loss(target, target, target, target).item() == pytest.approx(0.0, abs=1e-5)
        assert student_loss(opposite, opposite, target, target).item() == pytest.approx(24.0, abs=1e-5)

    def test_student_loss_is_the_sum_of_its_four_terms(self):
        clean, anomalous, teacher, expert = (pyramid(seed=seed) for seed in range(4))
        pairs = [(clean, teacher), (anomalous, teacher), (clean, expert), (anomalous, expert)]
        expected = sum(level.mean() for pair in pairs for level in image_distances(*pair))
        assert student_loss(clean, anomalous, teacher, expert).item() == pytest.approx(expected.item(), rel=1e-6)

    def test_mask_cascade(self):
        shapes = [(32, 48), (16, 24), (8, 12)]
        for value in (False, True):
            for level, shape in zip(cascaded_masks(np.full((128, 192), value), shapes), shapes, strict=True):
                assert level.shape == shape
                assert level.dtype == np.bool_
                assert (level == value).all()


class TestMap:
    """See docs/methods/urd.md#checks and docs/methods/urd.md#score-map."""

    def operators(self, shape, sigma, cell, align_corners=True):
        return [
            tuple(map_operator(side // stride, side, sigma, cell, align_corners=align_corners) for side in shape)
            for stride in (4, 8, 16)
        ]

    def test_identical_pyramids_give_zero(self):
        levels = pyramid()
        zero = anomaly_map(cell_distances(levels, levels), self.operators((64, 64), 4.0, 1))
        assert zero.shape == (2, 64, 64)
        assert zero.abs().max() < 1e-5

    @pytest.mark.parametrize("align_corners", [True, False])
    def test_equals_interpolation_and_scipy(self, align_corners):
        shape = (64, 96)
        distances = [torch.rand(1, shape[0] // stride, shape[1] // stride) for stride in (4, 8, 16)]
        full = sum(
            F.interpolate(level[None].double(), shape, mode="bilinear", align_corners=align_corners)[0, 0]
            for level in distances
        )
        expected = gaussian_filter(full.numpy(), 4.0)
        found = anomaly_map(distances, self.operators(shape, 4.0, 1, align_corners))[0].numpy()
        assert np.abs(found - expected).max() < 1e-6
        means = expected.reshape(16, 4, 24, 4).mean(axis=(1, 3))
        cells = anomaly_map(distances, self.operators(shape, 4.0, 4, align_corners))[0].numpy()
        assert np.abs(cells - means).max() < 1e-6

    def test_smoothing_keeps_constants_and_sums(self):
        smooth = map_operator(64, 64, 4.0, 1, align_corners=False).double()
        torch.testing.assert_close(smooth.sum(dim=1), torch.ones(64, dtype=torch.float64), rtol=0.0, atol=1e-6)
        assert smooth[:, 32].sum().item() == pytest.approx(1.0, abs=1e-6)
        assert int((smooth[:, 32] > 0).sum()) == 33

    def test_without_smoothing_it_only_interpolates(self):
        assert torch.equal(map_operator(8, 8, 0.0, 1, align_corners=False), torch.eye(8))


def toy(shape=(64, 64), **settings):
    block = {"backbone": "efficientnet_lite0", "weights": "random", "batch_size": 2, "early_stop": None} | settings
    return Urd(UrdSettings(**block), shape, seed=3)


def tiles(detector, number=4, seed=0):
    pixels = np.random.default_rng(seed).integers(0, 256, (number, *detector.tile_shape, 3), dtype=np.uint8)
    reader = TileReader(pixels, detector.backbone.normalise, "cpu", detector.seed)
    return TrainingTiles(reader, reader)


def trained_norms(module):
    return [int(norm.num_batches_tracked) for norm in module.modules() if isinstance(norm, torch.nn.BatchNorm2d)]


class TestStep:
    """See docs/methods/urd.md#checks and docs/methods/urd.md#order-of-a-step."""

    def test_what_a_step_changes(self):
        detector = toy()
        expert = {name: tensor.clone() for name, tensor in detector.backbone.state_dict().items()}
        (phase,) = detector.phases(tiles(detector))
        trained = (phase.teacher, phase.student)
        before = [{name: tensor.clone() for name, tensor in part.state_dict().items()} for part in trained]
        losses = phase.step(phase.batch(None, 0, [0, 1]), nullcontext)
        assert set(losses) == {"teacher_normal", "teacher_anomaly", "teacher_whole", "student"}
        assert all(torch.equal(tensor, expert[name]) for name, tensor in detector.backbone.state_dict().items())
        for module, state in zip(trained, before, strict=True):
            assert set(trained_norms(module)) == {2}
            assert all(not torch.equal(tensor, state[name]) for name, tensor in module.named_parameters())

    def test_the_student_learns_from_the_updated_teacher_in_evaluation_mode(self, monkeypatch):
        detector = toy()
        (phase,) = detector.phases(tiles(detector))
        seen = []

        def spy(clean, anomalous, teacher, expert):
            seen.extend([teacher, phase.teacher.training, phase.student.training, trained_norms(phase.teacher)])
            return student_loss(clean, anomalous, teacher, expert)

        monkeypatch.setattr(urd_module, "student_loss", spy)
        batch = phase.batch(None, 0, [0, 1])
        phase.step(batch, nullcontext)
        targets, teacher_trains, student_trains, norms = seen
        assert (teacher_trains, student_trains) == (False, True)
        assert set(norms) == {2}
        with torch.no_grad():
            after = phase.teacher.eval()(batch.clean())
        assert all(torch.equal(one, other) for one, other in zip(targets, after, strict=True))

    def test_optimisers(self):
        (phase,) = (detector := toy()).phases(tiles(detector))
        groups = {name: optimiser.param_groups[0] for name, optimiser in phase.optimisers.items()}
        assert {name: group["lr"] for name, group in groups.items()} == {"teacher": 1e-4, "student": 5e-3}
        assert all(group["betas"] == (0.5, 0.999) and not group["weight_decay"] for group in groups.values())
        assert all(isinstance(optimiser, torch.optim.Adam) for optimiser in phase.optimisers.values())

    def test_teacher_starts_as_the_expert(self):
        detector = toy().eval()
        images = torch.randn(1, 3, 64, 64)
        for one, other in zip(detector.backbone.pyramid(images), detector.teacher(images), strict=True):
            torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-4)

    def test_the_best_weights_come_back(self):
        detector = toy(early_stop={"every_steps": 1, "patience": 2, "min_steps": 1})
        (phase,) = detector.phases(tiles(detector))
        scores = iter([0.5, 0.7, 0.6, 0.65])
        phase.stopping._measure = lambda: next(scores)
        states = []
        for step in range(4):
            assert not phase.stopped
            losses = phase.step(phase.batch(None, step, [0, 1]), nullcontext)
            states.append({name: tensor.clone() for name, tensor in detector.state().items()})
        assert phase.stopped
        assert losses["validation_ap"].item() == pytest.approx(0.65)
        phase.finish()
        assert all(torch.equal(tensor, states[1][name]) for name, tensor in detector.state().items())
