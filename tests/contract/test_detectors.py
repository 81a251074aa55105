"""The contract of every registered detector, at toy size."""

import importlib
import subprocess
import sys
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch

from seamark.errors import ManifestError
from seamark.learning.batches import TileReader
from seamark.learning.checkpoints import Checkpoint
from seamark.learning.detector import Detector, load_detector_class
from seamark.learning.loop import Training
from seamark.registry import DETECTORS
from seamark.settings.training import DetectorSettings

ROOT = Path(__file__).parents[2]
SIZE = 64
STEPS = 2
COMMON = {"backbone": "efficientnet_lite0", "weights": "random", "layers": [2, 3], "checkpoint_every_s": 0.0}
STOP = {"every_steps": 1, "min_steps": 1, "anomalies_per_tile": 1}
PAIRS = {"layers": None, "batch_size": 2, "early_stop": STOP}
BLOCKS = {
    "inp_former": COMMON | {"max_steps": STEPS, "batch_size": 2, "warmup_steps": 1, "decoder_blocks": 2},
    "feature_bank": COMMON | {"bank_size": 40, "variants": 1, "projection_dim": 8},
    "superadd": COMMON | {"bank_size": 80, "rounds": 4, "neighbours": 20},
    "urd": COMMON | PAIRS | {"steps": STEPS},
    "aurd": COMMON | PAIRS | {"steps": STEPS, "segmentation": {"width": 8, "steps": STEPS, "early_stop": STOP}},
    "aand": COMMON | {"layers": None, "batch_size": 2, "amplification": {"max_steps": STEPS}, "max_steps": STEPS},
    "pfadseg": COMMON
    | PAIRS
    | {
        "steps": STEPS,
        "student_width": 0.5,
        "learning_rate": 0.1,
        "segmentation": {"width": 8, "steps": STEPS, "early_stop": STOP},
    },
    "efficientad": COMMON | {"teacher": "random", "width": 1 / 16, "channels": 12, "steps": STEPS, "batch_size": 2},
    "constant": COMMON | {"bump": 1.0, "brightness": 0.5},
}


OFFSETS = {"efficientad": 0.5}
"""Middle of the first cell in px, of detectors whose cells do not begin at the border."""


TRACKED = {}
"""How many steps and tiles of all phases the unbroken training of a detector has."""


class Stopped(Exception):
    """Stands for the end of the process in the middle of a training."""


def toy_tiles(number=4):
    return np.random.default_rng(5).integers(0, 256, (number, SIZE, SIZE, 1), dtype=np.uint8)


def make(name):
    kind = load_detector_class(DETECTORS[name].target)
    settings = kind.Settings.model_validate(BLOCKS[name])
    return kind(settings, (SIZE, SIZE), seed=7), settings


def run(name, path, stop_after=None):
    detector, settings = make(name)
    done = 0

    def track(items, what):
        nonlocal done
        for item in items:
            yield item
            done += 1
            if done == stop_after:
                raise Stopped

    training = Training(
        detector,
        settings,
        train=toy_tiles(),
        validation=toy_tiles(1),
        checkpoint=Checkpoint(path, {"settings": name}),
        device="cpu",
        workers=0,
        track=track,
    )
    records = training.run()
    TRACKED[name] = done
    return detector, records


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A function that gives a detector, trained once when it is first asked for, and the records of its phases."""
    return cache(lambda name: run(name, tmp_path_factory.mktemp(name) / "checkpoint"))


def images(detector, number=3):
    reader = TileReader(toy_tiles(number), detector.backbone.normalise, "cpu", 0)
    return reader.images([reader.pixels(tile) for tile in range(number)])


def test_every_row_has_a_toy_block():
    assert BLOCKS.keys() == DETECTORS.keys()


@pytest.mark.parametrize("name", DETECTORS)
class TestDetector:
    def test_row_leads_to_class_and_settings(self, name):
        kind = load_detector_class(DETECTORS[name].target)
        module, _, settings = DETECTORS[name].settings.partition(":")
        assert issubclass(kind, Detector)
        assert kind.Settings is getattr(importlib.import_module(module), settings)
        assert issubclass(kind.Settings, DetectorSettings)
        assert kind.Settings().grid == "tile"

    def test_maps_have_the_declared_size_and_are_finite(self, name, trained):
        detector, _ = trained(name)
        scores = detector.score(images(detector))
        assert scores.shape == (3, *detector.map_shape)
        assert scores.dtype == torch.float32
        assert torch.isfinite(scores).all()
        cells = detector.cells
        for axis, side in enumerate(detector.map_shape):
            assert cells.stride_px[axis] * side == SIZE
            assert cells.offset_px[axis] == OFFSETS.get(name, cells.stride_px[axis] / 2)

    def test_scores_are_repeatable(self, name, trained):
        detector, _ = trained(name)
        assert torch.equal(detector.score(images(detector)), detector.score(images(detector)))

    def test_scores_do_not_depend_on_the_batch(self, name, trained):
        detector, _ = trained(name)
        batch = images(detector)
        alone = torch.cat([detector.score(batch[i : i + 1]) for i in range(3)])
        torch.testing.assert_close(detector.score(batch), alone, rtol=1e-4, atol=1e-5)

    def test_scores_in_bfloat16_are_close(self, name, trained):
        detector, _ = trained(name)
        expected = detector.score(images(detector))
        with torch.autocast("cpu", torch.bfloat16):
            mixed = detector.score(images(detector)).float()
        assert torch.isfinite(mixed).all()
        assert (mixed - expected).norm() < 0.05 * expected.norm()

    def test_backbone_is_frozen_and_not_saved(self, name, trained):
        detector, _ = trained(name)
        detector.train()
        assert not detector.backbone.training
        assert not any(parameter.requires_grad for parameter in detector.backbone.parameters())
        assert not any("backbone" in entry for entry in detector.state())
        detector.eval()

    def test_saved_and_loaded_scores_the_same(self, name, trained):
        detector, _ = trained(name)
        other, _ = make(name)
        other.load({entry: tensor.clone() for entry, tensor in detector.state().items()})
        assert torch.equal(detector.score(images(detector)), other.eval().score(images(other)))

    def test_foreign_state_is_refused(self, name, trained):
        other, _ = make(name)
        with pytest.raises(ManifestError, match="does not fit the settings"):
            other.load({"strange": torch.zeros(1)})

    def test_a_training_resumed_three_times_gives_the_bits_of_an_unbroken_one(self, name, trained, tmp_path):
        """It stops in the first phase, where a phase ends or begins, and in the last one."""
        detector, records = trained(name)
        places = sorted({0, 1, (TRACKED[name] + 1) // 2, TRACKED[name]})
        for more in np.diff(places):
            with pytest.raises(Stopped):
                run(name, tmp_path / "broken", stop_after=more)
        again, records_again = run(name, tmp_path / "broken")
        assert records_again == records
        assert all(torch.equal(tensor, again.state()[entry]) for entry, tensor in detector.state().items())

    def test_has_provenance_and_a_paragraph(self, name):
        header = importlib.import_module(DETECTORS[name].module).__doc__
        for part in ("Paper:", "Equations:", "Reference:", "parity:"):
            assert part in header, part
        assert f"\n## {name}\n" in (ROOT / "docs" / "detectors.md").read_text(encoding="utf-8")

    def test_has_a_golden_or_unit_test(self, name):
        assert [*ROOT.glob(f"tests/*/test_{name}.py")]


@pytest.mark.parametrize(
    ("name", "backbone", "layers"),
    [
        ("feature_bank", "timm:convnextv2_atto", [1, 2]),
        ("inp_former", "timm:vit_tiny_patch16_dinov3_qkvb", [2, 4]),
        ("superadd", "timm:resnet10t", [2, 3]),
        ("feature_bank", "timm:vit_tiny_patch16_224", [1, 2]),
    ],
)
def test_detectors_keep_the_contract_on_models_of_timm(name, backbone, layers, tmp_path, monkeypatch):
    monkeypatch.setitem(BLOCKS, name, BLOCKS[name] | {"backbone": backbone, "layers": layers})
    once, contract = run(name, tmp_path / name), TestDetector()
    trained = {name: once}.__getitem__
    contract.test_maps_have_the_declared_size_and_are_finite(name, trained)
    contract.test_scores_do_not_depend_on_the_batch(name, trained)
    contract.test_backbone_is_frozen_and_not_saved(name, trained)
    contract.test_saved_and_loaded_scores_the_same(name, trained)


def test_registry_imports_no_torch():
    code = "import sys, seamark.registry; sys.exit('torch' in sys.modules or 'numpy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_contract_imports_no_registry():
    code = "import sys, seamark.learning.detector, seamark.learning.loop; sys.exit('seamark.registry' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
