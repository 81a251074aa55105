"""The training loop that all detectors share."""

import logging
import time
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from seamark.errors import TrainingError
from seamark.files.images import UInt8Array
from seamark.learning.batches import Batch, TileReader, TrainingTiles, batch_tiles, batches_ahead, counted_random
from seamark.learning.checkpoints import Checkpoint
from seamark.learning.detector import Detector, arithmetic, use_device
from seamark.learning.phases import Phase, SteppedPhase, Track
from seamark.manifests.model import PhaseRecord
from seamark.settings.training import DetectorSettings
from seamark.tiles.geometry import Box

LOG = logging.getLogger(__name__)
CURVE_POINTS = 100
"""Losses are noted about this many times per phase."""


@dataclass
class Curve:
    """Losses of a phase: notes taken so far, and the losses of single steps since the last one."""

    steps: list[int] = field(default_factory=list)
    means: dict[str, list[float]] = field(default_factory=dict)
    pending: list[dict[str, Tensor]] = field(default_factory=list)

    def note(self, phase: str, step: int) -> None:
        """Turn the pending losses into one note.

        Raises
        ------
        TrainingError
            If one of them is not finite.
        """
        values = self.checked(phase, step)
        self.steps.append(step)
        for name, column in values.items():
            self.means.setdefault(name, []).append(float(np.mean(column, dtype=np.float64)))
        self.pending.clear()

    def checked(self, phase: str, step: int) -> dict[str, list[float]]:
        """Return the pending losses by name; ``step`` is the number of steps done.

        Raises
        ------
        TrainingError
            If one of them is not finite.
        """
        names = list(self.pending[0]) if self.pending else []
        values = {name: torch.stack([losses[name] for losses in self.pending]).float().tolist() for name in names}
        for offset in range(len(self.pending)):
            for name in names:
                if not np.isfinite(values[name][offset]):
                    raise TrainingError(
                        f"phase {phase}, step {step - len(self.pending) + offset + 1}: "
                        f"loss {name} is {values[name][offset]}; "
                        "lower learning_rate or gradient_clip, or set autocast: none"
                    )
        return values

    def record(self, name: str, steps: int) -> PhaseRecord:
        """Return the notes as part of the model's manifest."""
        losses = {loss: tuple(values) for loss, values in self.means.items()}
        return PhaseRecord(name=name, steps=steps, curve_steps=tuple(self.steps), losses=losses)


class Training:
    """Trains a detector phase by phase and goes on where an earlier process was stopped.

    Batches, augmentation and torch's random state of a step depend on seed, phase and step alone, so a training that
    was killed and resumed ends with the same weights as an unbroken one, bit for bit on the CPU.

    Parameters
    ----------
    detector : Detector
        What to train; it is moved to the device.
    settings : DetectorSettings
        Its settings.
    train, validation : ndarray of uint8, shape (T, H, W, C)
        Defect-free tiles, each read when it is wanted.
    left_out : range
        Training tiles that it must not see.
    own : sequence of Box
        Which part of each training tile is no other's, in its px; empty for tiles that have nothing in common.
    checkpoint : Checkpoint
        Where progress is kept.
    device : str
        ``cpu`` or ``cuda:<index>``.
    workers : int
        Threads that prepare batches ahead when training on a GPU.
    track : callable
        Reports progress.
    """

    def __init__(
        self,
        detector: Detector,
        settings: DetectorSettings,
        *,
        train: UInt8Array,
        validation: UInt8Array,
        left_out: range = range(0),
        own: Sequence[Box] = (),
        checkpoint: Checkpoint,
        device: str,
        workers: int,
        track: Track,
    ) -> None:
        use_device(device)
        self.detector, self.settings, self.checkpoint, self.track = detector.to(device), settings, checkpoint, track
        self.device = torch.device(device)
        self.workers = 0 if self.device.type == "cpu" else max(1, workers)
        normalise, seed = detector.backbone.normalise, detector.seed
        self.tiles = TrainingTiles(
            TileReader(train, normalise, device, seed, left_out=left_out, own=own),
            TileReader(validation, normalise, device, seed),
        )
        self.records: list[PhaseRecord] = []
        self.last_save = time.monotonic()

    def run(self) -> tuple[PhaseRecord, ...]:
        """Run all phases that are not yet done and return one record of each, in order.

        Raises
        ------
        TrainingError
            If a loss is not finite.
        """
        phases = self.detector.phases(self.tiles)
        progress = self.checkpoint.load() or {}
        if progress:
            self.detector.load(progress["detector"])
            self.records = [PhaseRecord.model_validate(record) for record in progress["records"]]
            LOG.info(
                "resuming after %d phases and %d steps", len(self.records), progress["step"], extra={"shown": True}
            )
        for phase in phases[len(self.records) :]:
            self._run_phase(phase, progress)
            progress = {}
        self.detector.eval()
        return tuple(self.records)

    def _run_phase(self, phase: Phase, progress: Mapping[str, Any]) -> None:
        self.detector.train(isinstance(phase, SteppedPhase))
        if isinstance(phase, SteppedPhase):
            self._run_steps(phase, progress)
        else:
            _seed_torch(self.detector.seed, phase.name, 0)
            with torch.no_grad():
                phase.run(self.tiles, self.track)
            self.records.append(PhaseRecord(name=phase.name, steps=0, curve_steps=(), losses={}))
        self._save(0, {}, Curve())

    def _run_steps(self, phase: SteppedPhase, progress: Mapping[str, Any]) -> None:
        curve, start = Curve(), 0
        if progress.get("step"):
            start, curve = progress["step"], Curve(**progress["curve"])
            phase.load(progress["phase"])
        done = start
        interval = max(1, phase.steps // CURVE_POINTS)
        steps = self.track(range(start, phase.steps), f"steps of {phase.name}")
        ahead = batches_ahead(lambda step: self._batch(phase, step), range(start, phase.steps), self.workers)
        for step, batch in zip(steps, ahead, strict=False):
            _seed_torch(self.detector.seed, phase.name, step)
            curve.pending.append(phase.step(batch, self._arithmetic))
            done = step + 1
            if done % interval == 0 or done == phase.steps or phase.stopped:
                curve.note(phase.name, done)
            if phase.stopped:
                break
            if done < phase.steps and time.monotonic() - self.last_save >= self.settings.checkpoint_every_s:
                curve.checked(phase.name, done)
                self._save(done, phase.state(), curve)
        phase.finish()
        self.records.append(curve.record(phase.name, done))

    def _batch(self, phase: SteppedPhase, step: int) -> Batch:
        tiles = batch_tiles(self.detector.seed, phase.name, step, len(self.tiles.train), phase.batch_size)
        return phase.batch(self.tiles.train, step, tiles)

    def _arithmetic(self) -> AbstractContextManager[Any]:
        return arithmetic(self.device, self.settings.autocast)

    def _save(self, step: int, phase: Mapping[str, Any], curve: Curve) -> None:
        self.checkpoint.save(
            {
                "step": step,
                "phase": dict(phase),
                "detector": self.detector.state(),
                "records": [record.model_dump() for record in self.records],
                "curve": {"steps": curve.steps, "means": curve.means, "pending": curve.pending},
            }
        )
        self.last_save = time.monotonic()


def _seed_torch(seed: int, phase: str, step: int) -> None:
    torch.manual_seed(int(counted_random(seed, phase, step, "torch").integers(2**63)))
