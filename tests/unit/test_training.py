"""The training loop: phases, checkpoints, resume, curves, non-finite losses."""

import logging
from contextlib import nullcontext

import numpy as np
import pytest
import torch

from seamark.errors import ConfigError, TrainingError
from seamark.learning.batches import Batch
from seamark.learning.checkpoints import Checkpoint
from seamark.learning.detector import Detector, arithmetic, cells_with_content, load_detector_class, use_device
from seamark.learning.loop import Training
from seamark.learning.phases import ComputedPhase, GradientPhase
from seamark.settings.augmentation import AugmentationSettings
from seamark.settings.training import DetectorSettings

SIZE = 32


def tiles(number=5, channels=1):
    return np.random.default_rng(0).integers(1, 256, (number, SIZE, SIZE, channels), dtype=np.uint8)


class Toy(Detector):
    """Learns the mean colour, after a phase that just runs."""

    Settings = DetectorSettings

    def __init__(self, settings, poison_step=None, steps=7):
        super().__init__(settings, (SIZE, SIZE), seed=2)
        self.layer = torch.nn.Linear(3, 3)
        self.register_buffer("seen", torch.zeros(()))
        self.poison_step, self.steps = poison_step, steps
        self.runs = []
        with torch.no_grad():
            self.layer.weight.fill_(0.1)
            self.layer.bias.zero_()

    def phases(self, tiles):
        counting = Counting(self)
        learning = GradientPhase(
            "learn",
            steps=self.steps,
            batch_size=2,
            module=self.layer,
            optimiser=torch.optim.Adam(self.layer.parameters()),
            rate=lambda step: 0.01 * (step + 1),
            loss=self.loss,
            clip=1.0,
            augmentation=AugmentationSettings(),
        )
        return [counting, learning, Counting(self)]

    def loss(self, batch):
        self.runs.append(batch.step)
        colour = batch.images().mean(dim=(2, 3))
        noise = torch.rand(3)
        loss = (self.layer(colour) - colour - noise).square().mean()
        if batch.step == self.poison_step:
            loss = loss * float("nan")
        return {"loss": loss, "constant": torch.ones(())}

    def score(self, batch):
        return batch.mean(dim=1)


class Counting(ComputedPhase):
    name = "count"

    def __init__(self, detector):
        self.detector = detector

    def run(self, tiles, track):
        for _ in track(range(len(tiles.train)), "tiles"):
            self.detector.seen += 1


def training(path, toy=None, every_s=0.0, key=None, track=None):
    settings = DetectorSettings(backbone="efficientnet_lite0", weights="random", checkpoint_every_s=every_s)
    toy = toy or Toy(settings)
    return toy, Training(
        toy,
        settings,
        train=tiles(),
        validation=tiles(1),
        checkpoint=Checkpoint(path, key or {"settings": "a"}),
        device="cpu",
        workers=0,
        track=track or (lambda items, _: items),
    )


def toy(**keywords):
    return Toy(DetectorSettings(backbone="efficientnet_lite0", weights="random"), **keywords)


def test_a_gpu_computes_in_full_float32_with_the_same_kernels_every_time(monkeypatch):
    wanted = {"benchmark": False, "deterministic": True, "allow_tf32": False}
    for name, value in wanted.items():
        monkeypatch.setattr(torch.backends.cudnn, name, not value)
    use_device("cuda:0")
    assert {name: getattr(torch.backends.cudnn, name) for name in wanted} == wanted


def test_curves_and_phases(tmp_path):
    model, loop = training(tmp_path / "c", toy(steps=250))
    records = loop.run()
    assert [record.name for record in records] == ["count", "learn", "count"]
    assert [record.steps for record in records] == [0, 250, 0]
    assert records[1].curve_steps[:3] == (2, 4, 6)
    assert records[1].curve_steps[-1] == 250
    assert set(records[1].losses["constant"]) == {1.0}
    assert float(model.seen) == 10


class Stopping(GradientPhase):
    """Is over after four steps and then adds one to the bias; makes its batches itself."""

    def __init__(self, toy):
        optimiser = torch.optim.Adam(toy.layer.parameters())
        super().__init__(
            "stop",
            steps=9,
            batch_size=2,
            module=toy.layer,
            optimiser=optimiser,
            rate=lambda step: 0.01,
            loss=toy.loss,
        )
        self.kinds = set()

    def batch(self, reader, step, tiles):
        return OwnBatch(reader, self.name, step, tiles, None)

    def step(self, batch, arithmetic):
        self.kinds.add(type(batch))
        losses = super().step(batch, arithmetic)
        self.stopped = batch.step == 3
        return losses

    def finish(self):
        with torch.no_grad():
            self.module.bias += 1.0


class OwnBatch(Batch):
    pass


class StoppingToy(Toy):
    def phases(self, tiles):
        self.phase = Stopping(self)
        return [self.phase, Counting(self)]


def stopping_toy():
    return StoppingToy(DetectorSettings(backbone="efficientnet_lite0", weights="random"))


def test_a_phase_that_stops_is_finished_and_followed_by_the_next(tmp_path):
    model, loop = training(tmp_path / "c", stopping_toy())
    records = loop.run()
    assert model.runs == [0, 1, 2, 3]
    assert [(record.name, record.steps) for record in records] == [("stop", 4), ("count", 0)]
    assert records[0].curve_steps[-1] == 4
    assert model.phase.kinds == {OwnBatch}
    assert model.layer.bias.min() > 0.9
    assert float(model.seen) == 5


@pytest.mark.parametrize("stop_at", [3, 4])
def test_a_phase_that_stops_resumes_to_the_same_weights(tmp_path, stop_at):
    def breaking(items, _):
        for item in items:
            yield item
            breaking.count += 1
            if breaking.count == stop_at:
                raise KeyboardInterrupt

    breaking.count = 0
    unbroken, loop = training(tmp_path / "unbroken", stopping_toy())
    records = loop.run()
    _, loop = training(tmp_path / "broken", stopping_toy(), track=breaking)
    with pytest.raises(KeyboardInterrupt):
        loop.run()
    resumed, loop = training(tmp_path / "broken", stopping_toy())
    assert loop.run() == records
    assert all(torch.equal(tensor, unbroken.state()[name]) for name, tensor in resumed.state().items())


@pytest.mark.parametrize("stop_at", [1, 6, 14])
def test_resume_equals_unbroken(tmp_path, stop_at):
    class Stopped(Exception):
        pass

    def breaking(items, _):
        for item in items:
            yield item
            breaking.count += 1
            if breaking.count == stop_at:
                raise Stopped

    breaking.count = 0
    unbroken, loop = training(tmp_path / "unbroken")
    records = loop.run()
    broken, loop = training(tmp_path / "broken", track=breaking)
    with pytest.raises(Stopped):
        loop.run()
    resumed, loop = training(tmp_path / "broken")
    assert loop.run() == records
    assert all(torch.equal(tensor, unbroken.state()[name]) for name, tensor in resumed.state().items())
    assert len(resumed.runs) + len(broken.runs) <= 8


def test_complete_checkpoint_trains_nothing_again(tmp_path):
    _, loop = training(tmp_path / "c")
    records = loop.run()
    again, loop = training(tmp_path / "c")
    assert loop.run() == records
    assert again.runs == []


def test_other_key_starts_afresh_and_says_why(tmp_path, caplog):
    _, loop = training(tmp_path / "c", key={"settings": "a", "tiles": "b"})
    loop.run()
    again, loop = training(tmp_path / "c", key={"settings": "a", "tiles": "c"})
    with caplog.at_level(logging.INFO):
        loop.run()
    assert len(again.runs) == 7
    assert "belongs to other tiles; starting afresh" in caplog.text


@pytest.mark.parametrize("content", [b"", b"not a checkpoint"])
def test_damaged_checkpoint_starts_afresh(tmp_path, content, caplog):
    path = tmp_path / "c"
    path.write_bytes(content)
    again, loop = training(path)
    loop.run()
    assert len(again.runs) == 7
    assert "the checkpoint is damaged" in caplog.text
    assert "starting afresh" in caplog.text


def test_time_between_checkpoints_changes_nothing(tmp_path):
    often, loop = training(tmp_path / "often", every_s=0.0)
    loop.run()
    never, loop = training(tmp_path / "never", every_s=1e9)
    loop.run()
    assert all(torch.equal(tensor, never.state()[name]) for name, tensor in often.state().items())


def test_non_finite_loss_names_phase_step_and_loss(tmp_path):
    _, loop = training(tmp_path / "c", toy(poison_step=4))
    with pytest.raises(TrainingError, match="phase learn, step 5: loss loss is nan; lower learning_rate"):
        loop.run()


def test_one_thread_on_the_cpu(tmp_path):
    torch.set_num_threads(2)
    training(tmp_path / "c")
    assert torch.get_num_threads() == 1


def test_cells_with_content():
    pixels = np.zeros((8, 12, 3), np.uint8)
    pixels[5, 10, 1] = 1
    assert cells_with_content(pixels, (2, 3)).tolist() == [[False, False, False], [False, False, True]]


@pytest.mark.parametrize(
    "target", ["seamark.nothing:Here", "seamark.learning.loop:Nothing", "seamark.learning.loop:Training", "x"]
)
def test_unknown_detector(target):
    with pytest.raises(ConfigError, match="module:Class"):
        load_detector_class(target)


class TestArithmetic:
    gpu = torch.device("cuda", 0)

    def test_the_cpu_always_computes_in_float32(self):
        assert isinstance(arithmetic(torch.device("cpu"), "bfloat16"), nullcontext)

    def test_none_is_float32(self):
        assert isinstance(arithmetic(self.gpu, "none"), nullcontext)

    @pytest.mark.filterwarnings("ignore::UserWarning")
    def test_a_gpu_computes_as_configured(self, monkeypatch):
        monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: True)
        block = arithmetic(self.gpu, "bfloat16")
        assert (block.device, block.fast_dtype) == ("cuda", torch.bfloat16)

    def test_a_gpu_without_bfloat16_is_refused(self, monkeypatch):
        monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: False)
        monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "an old GPU")
        with pytest.raises(ConfigError, match="an old GPU has none; set autocast: none"):
            arithmetic(self.gpu, "bfloat16")
