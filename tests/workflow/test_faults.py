"""A few faults that strike a run; ``python -m tests.faults`` lets hundreds happen."""

import shutil

import pytest
from tests.faults.campaign import Run, impossible_kinds, put_hook, small_disk
from tests.faults.draw import KINDS, Fault, draw_faults

EVENTS = {"binarize": (23, 8), "refine": (24, 9), "verdict": (28, 8), "evaluate": (42, 30), "package": (64, 27)}


@pytest.mark.faults
@pytest.mark.slow
def test_a_run_that_faults_strike_ends_as_an_undisturbed_one(finished, tmp_path):
    """Late stages of one category, struck by a full disk, a kill, a truncated map, an unreadable file and a clock."""
    absent = impossible_kinds()
    faults = [
        Fault(0, "kill_job" if "disk_full" in absent else "disk_full", "binarize", 12, 1),
        Fault(1, "truncated", "binarize", 15, 7, ".tiff"),
        Fault(2, "clock", "refine", 3, 1),
        Fault(3, "kill_job" if "unreadable" in absent else "unreadable", "refine", 6, 2),
        Fault(4, "kill_run", "evaluate", 20, 3),
    ]
    put_hook(tmp_path / "hook")
    with small_disk(tmp_path / "disk") as folder:
        project = finished.copy(folder / "project")
        for stage in ("60_coarse", "70_refined"):
            shutil.rmtree(project.out / stage / "bolt")
        run = Run(project, tmp_path / "hook", tmp_path / "journal", faults)
        assert run.finish(lambda: finished) == []
    struck = run.struck()
    assert sorted(struck) == [0, 1, 2, 3, 4]
    assert not any("missed" in note for note in struck.values())
    assert run.took_effect(faults[0])


def test_the_same_seed_draws_the_same_faults():
    events = dict.fromkeys(
        ("index", "truth", "crop", "train", "infer", "merge", "fuse", "calibrate", "preview", "report"), (30, 10)
    )
    faults = draw_faults(7, 60, events | EVENTS)
    assert faults == draw_faults(7, 60, events | EVENTS)
    assert faults != draw_faults(8, 60, events | EVENTS)
    assert {fault.rule for fault in faults} == {*events, *EVENTS}
    assert {fault.kind for fault in faults} <= set(KINDS)
