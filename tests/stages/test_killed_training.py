"""A training that kill -9 ends goes on and ends with the bytes of an unbroken one.

Here in a first and in a last phase; ``tests/contract`` stops all detectors at three places without killing a process.
"""

import signal
import subprocess
import sys

import pytest
from tests.contract.test_detectors import BLOCKS
from tests.stages.small_run import stage
from tests.stages.test_train_infer import ROOT, content, write_tiles

from seamark.manifests.base import read_manifest
from seamark.manifests.model import ModelManifest
from seamark.registry import DETECTORS
from seamark.running.job import Job

CHILD = """
import json, sys, time
from pathlib import Path
from seamark.running.job import Job
from tests.stages.test_killed_training import train

def track(self, items, what):
    for number, item in enumerate(items):
        if what == f"steps of {sys.argv[1]}" and number == 1:
            print("one step is saved", flush=True)
            time.sleep(600)
        yield item

Job.track = track
train(Path(sys.argv[2]), Path(sys.argv[3]), sys.argv[4])
"""
PHASES = {
    "inp_former": ("reconstruction",),
    "aurd": ("distillation", "segmentation"),
}


def train(tiles, model, name):
    job = Job.for_test(
        "train",
        inputs={
            "train": tiles / "train.json",
            "train_npy": tiles / "train.npy",
            "validation": tiles / "validation.json",
            "validation_npy": tiles / "validation.npy",
        },
        outputs={"manifest": model / "fit.json", "model": model / "model.safetensors"},
        params={"settings": BLOCKS[name], "detector": DETECTORS[name].target, "name": name, "code": "c1"},
        wildcards={"detector": name, "category": "toy"},
    )
    stage("train")(job)


@pytest.fixture(scope="module")
def tiles(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tiles")
    write_tiles(folder, "train", 4)
    write_tiles(folder, "validation", 2)
    return folder


@pytest.fixture(scope="module")
def unbroken(tiles, tmp_path_factory):
    folder = tmp_path_factory.mktemp("unbroken")
    for name in PHASES:
        train(tiles, folder / name, name)
    return folder


def test_all_phases_with_steps_are_named(unbroken):
    for name, phases in PHASES.items():
        records = read_manifest(unbroken / name / "fit.json", ModelManifest).phases
        assert tuple(record.name for record in records if record.steps) == phases


@pytest.mark.parametrize(("name", "phase"), [(name, phases[-1]) for name, phases in PHASES.items()])
def test_killed_training_ends_with_the_same_bytes(tiles, unbroken, tmp_path, name, phase):
    model = tmp_path / name
    command = [sys.executable, "-c", CHILD, phase, str(tiles), str(model), name]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        said = process.stdout.readline()
        process.kill()
    assert said == "one step is saved\n"
    assert process.returncode == -signal.SIGKILL
    assert [path.name for path in model.iterdir()] == ["model.checkpoint"]
    train(tiles, model, name)
    assert content(model) == content(unbroken / name)
