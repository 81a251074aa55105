"""Several processes and several fake devices: who gets which slot, also where SLURM hands the devices out."""

import json
import os
import signal
import subprocess
import sys
import textwrap
import time

import pytest

from seamark.running.devices import _slot_file, claimed_device, visible_gpus

ITEMS = ("a", "b", "c", "d", "e")
DEVICES = {"cuda:0", "cuda:1", "cuda:2"}

JOB = textwrap.dedent("""
    import json, os, sys, time
    from pathlib import Path
    from types import SimpleNamespace
    import seamark.running.devices
    from seamark.running.job import run

    seamark.running.devices.POLL_S = 0.02
    item = sys.argv[1]

    def main(job):
        held = Path("held") / job.device
        held.touch(exist_ok=False)  # two jobs in one slot: the second one ends here
        while not (all_used := Path("all_used")).exists():
            if len(os.listdir("held")) == 3:
                all_used.touch()
            time.sleep(0.01)
        with open("history", "a") as history:
            history.write(f"{item} {job.device}\\n")
        time.sleep(float(sys.argv[2]))
        job.target("manifest").write_text(json.dumps([job.label, job.params["seed"]]))
        held.unlink()

    script = SimpleNamespace(
        rule="work", threads=1, input={}, output={"manifest": f"{item}.json"}, params={"seed": 7},
        wildcards={"category": item}, resources=SimpleNamespace(gpu=1), log=[f"logs/{item}.log"],
    )
    run(main, {"snakemake": script})
""")


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """A machine without GPUs and without a scheduler, with slots of its own."""
    for name in ("SEAMARK_GPUS", "CUDA_VISIBLE_DEVICES", "SLURM_JOB_ID", "SLURM_STEP_GPUS", "SLURM_JOB_GPUS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.delenv("SLURM_GPUS_ON_NODE", raising=False)
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    return monkeypatch


def start(folder, item, hold_s=0.05):
    (folder / "held").mkdir(parents=True, exist_ok=True)
    environment = os.environ | {"SEAMARK_GPUS": "0,1,2", "TMPDIR": str(folder)}
    return subprocess.Popen(
        [sys.executable, "-c", JOB, item, str(hold_s)], cwd=folder, env=environment, stderr=subprocess.PIPE, text=True
    )


def until(found, seconds=60):
    deadline = time.monotonic() + seconds
    while not (value := found()):
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)
    return value


def compete(folder, items):
    jobs = [start(folder, item) for item in items]
    errors = [job.communicate(timeout=120)[1] for job in jobs]
    assert [job.returncode for job in jobs] == [0] * len(jobs), errors
    return {path.name: path.read_bytes() for path in folder.glob("?.json")}


def test_five_jobs_share_three_devices_never_two_one_device_and_the_order_is_no_matter(machine, tmp_path):
    forwards = compete(tmp_path / "forwards", ITEMS)
    backwards = compete(tmp_path / "backwards", ITEMS[::-1])
    assert forwards == backwards
    assert len(forwards) == len(ITEMS)
    for folder in ("forwards", "backwards"):
        history = [line.split() for line in (tmp_path / folder / "history").read_text().splitlines()]
        assert sorted(item for item, _ in history) == sorted(ITEMS)
        assert {device for _, device in history} == DEVICES


def test_a_killed_job_frees_its_slot_and_no_other(machine, tmp_path):
    holders = [start(tmp_path, item, hold_s=600) for item in ITEMS[:3]]
    try:
        history = tmp_path / "history"
        lines = until(lambda: history.exists() and len(rows := history.read_text().splitlines()) == 3 and rows)
        devices = dict(line.split() for line in lines)
        waiting = start(tmp_path, "d", hold_s=0)
        with pytest.raises(subprocess.TimeoutExpired):
            waiting.wait(timeout=1.5)
        (tmp_path / "held" / devices["b"]).unlink()  # before it can, because the next one marks the slot at once
        holders[1].send_signal(signal.SIGKILL)
        holders[1].wait()
        assert waiting.communicate(timeout=60)[1] == ""
        assert history.read_text().splitlines()[-1] == f"d {devices['b']}"
        assert json.loads((tmp_path / "d.json").read_text())[0] == "work d"
    finally:
        for holder in holders:
            holder.kill()


def test_a_slurm_job_has_the_devices_that_slurm_gave_it(machine):
    machine.setenv("SLURM_JOB_ID", "11")
    machine.setenv("SLURM_GPUS_ON_NODE", "2")
    machine.setenv("SLURM_STEP_GPUS", "4,6")
    machine.setenv("CUDA_VISIBLE_DEVICES", "0,1")
    assert visible_gpus() == (0, 1)
    assert [_slot_file(index).stem.rsplit("-", 1)[1] for index in (0, 1)] == ["4", "6"]


@pytest.mark.parametrize("hidden", [None, "", "NoDevFiles"])
def test_a_slurm_job_without_a_gpu_has_none(machine, hidden):
    machine.setattr("seamark.running.devices._device_files", lambda: ["nvidia0", "nvidia1"])
    machine.setenv("SLURM_JOB_ID", "11")
    if hidden is not None:
        machine.setenv("CUDA_VISIBLE_DEVICES", hidden)
    assert visible_gpus() == ()


def test_a_slurm_job_whose_gpu_is_not_announced_does_not_fall_back_to_the_cpu(machine):
    machine.setenv("SLURM_JOB_ID", "11")
    machine.setenv("SLURM_GPUS_ON_NODE", "1")
    assert visible_gpus() == (0,)


def test_slurm_jobs_side_by_side_do_not_wait_for_each_other(machine):
    machine.setenv("SLURM_JOB_ID", "11")
    machine.setenv("CUDA_VISIBLE_DEVICES", "0")
    machine.setenv("SLURM_STEP_GPUS", "0")
    with claimed_device(1) as first:
        machine.setenv("SLURM_STEP_GPUS", "1")
        with claimed_device(1) as second:
            assert (first, second) == ("cuda:0", "cuda:0")


@pytest.mark.parametrize(("card", "slot"), [("3", "3"), ("GPU-8f2a/1", "GPU-8f2a_1")])
def test_the_slot_is_the_cards_not_its_place_in_the_list(machine, card, slot):
    machine.setenv("SEAMARK_GPUS", "0")
    machine.setattr("seamark.running.devices._device_files", lambda: ["nvidia0"])
    machine.setenv("CUDA_VISIBLE_DEVICES", card)
    assert _slot_file(0).name.endswith(f"-gpu-{slot}.lock")
