"""The SLURM profile, on a SLURM that the test starts on this machine."""

import os
import signal
import subprocess
import sys
from contextlib import contextmanager

import pytest
from tests.clusters.gpu_jobs import write_gpu_jobs
from tests.clusters.slurm import Slurm, hindrance
from tests.workflow.project import ROOT, Project

pytestmark = pytest.mark.slurm
QUICK = ("--slurm-init-seconds-before-status-checks", "1", "--max-status-checks-per-second", "5", "--max-threads", "2")


@pytest.fixture(scope="module")
def slurm(tmp_path_factory):
    pytest.importorskip("snakemake_executor_plugin_slurm", reason="the plugin is missing: pip install -e '.[slurm]'")
    if reason := hindrance():
        pytest.skip(reason)
    with Slurm(tmp_path_factory.mktemp("slurm")) as started:
        yield started


def small_project(folder):
    project = Project.fresh(folder)
    splits = {"categories": ["bolt"], "splits": ["validation", "test_private"]}
    project.configure({"data": splits, "package": {"allow_partial": True}})
    return project


@contextmanager
def submitting(folder, *arguments, **environment):
    """Snakemake with the profile, ended with the block."""
    command = [sys.executable, "-m", "snakemake", "--profile", str(ROOT / "profiles" / "slurm"), *QUICK, *arguments]
    with (folder / "said.txt").open("w") as said:
        run = subprocess.Popen(command, cwd=folder, env=os.environ | environment, stdout=said, stderr=said)
        try:
            yield run
        finally:
            run.kill()
            run.wait()


def test_killed_jobs_are_submitted_again_and_every_byte_is_that_of_a_local_run(slurm, tmp_path):
    local, project = small_project(tmp_path / "local"), small_project(tmp_path / "slurm")
    with submitting(project.folder, "--resources", "gpu=0", "--configfile", "tiny.yaml", "--", "submission") as run:
        slurm.ask("scancel", slurm.wait_for("train", run))
        for process in slurm.processes(slurm.wait_for("infer", run)):
            os.kill(process, signal.SIGKILL)
        code = run.wait()
    said = (project.folder / "said.txt").read_text()
    assert code == 0, said
    assert said.count("Trying to restart job") == 2, said
    local.snakemake("submission")
    results, undisturbed = project.results(), local.results()
    assert sorted(results) == sorted(undisturbed)
    assert [name for name in results if results[name] != undisturbed[name]] == []
    assert "submissions/tiny.tar.gz" in results


def test_every_gpu_job_has_the_gpu_that_slurm_gave_it_and_two_run_side_by_side(slurm, tmp_path):
    write_gpu_jobs(tmp_path)
    with submitting(tmp_path, "all", PYTHONPATH=str(ROOT / "src")) as run:
        code = run.wait()
    assert code == 0, (tmp_path / "said.txt").read_text()
    outcome = [(tmp_path / f"{item}.txt").read_text().split() for item in "abcd"]
    assert [visible for visible, _ in outcome] == ["1"] * 4
    assert {slot for _, slot in outcome} == {"0", "1"}
