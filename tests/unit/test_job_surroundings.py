"""Surroundings that jobs inherit."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from seamark.errors import SeamarkError
from seamark.planning.environment import KEPT_MEMORY, prepare_environment, unusable_places


@pytest.fixture(autouse=True)
def _environment(monkeypatch):
    """Whatever a test sets is gone after it."""
    for name in ("PYTHONPATH", "OMP_WAIT_POLICY", "GLIBC_TUNABLES", "SEAMARK_GPUS"):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)


def test_jobs_keep_memory_and_idle_threads_sleep():
    prepare_environment(Path("project"))
    assert os.environ["GLIBC_TUNABLES"] == KEPT_MEMORY
    assert os.environ["OMP_WAIT_POLICY"] == "PASSIVE"


def test_what_the_user_has_set_stays(monkeypatch):
    monkeypatch.setenv("GLIBC_TUNABLES", "glibc.malloc.check=1")
    monkeypatch.setenv("PYTHONPATH", "mine")
    prepare_environment(Path("project"))
    assert os.environ["GLIBC_TUNABLES"] == "glibc.malloc.check=1"
    assert os.environ["PYTHONPATH"].split(os.pathsep) == [str(Path("project", "src")), "mine"]


PLACES = [sys.executable, "-m", "seamark.planning.environment"]


@pytest.mark.parametrize(
    ("variable", "value", "message"),
    [
        (
            "HOME",
            "/dev/null",
            "/dev/null/.cache/snakemake: Snakemake's cache cannot be written there (Not a directory)",
        ),
        (
            "XDG_CACHE_HOME",
            "/proc/none",
            "/proc/none/snakemake: Snakemake's cache cannot be written there (No such file",
        ),
        ("TMPDIR", "/none", "/none: temporary files cannot be written there (No such file or directory)"),
        ("TMP", "/proc", "/proc: temporary files cannot be written there"),
    ],
)
def test_a_place_that_cannot_be_written_is_named_with_a_remedy_that_works(tmp_path, variable, value, message):
    (tmp_path / "a project").mkdir()
    kept = {name: value for name, value in os.environ.items() if name not in ("XDG_CACHE_HOME", "TMP", "TEMP")}
    surroundings = kept | {"HOME": str(tmp_path), "PYTHONPATH": os.pathsep.join(sys.path), variable: value}

    def tried(*command):
        return subprocess.run(
            command, cwd=tmp_path / "a project", env=surroundings, capture_output=True, text=True, check=False
        )

    refusal = tried(*PLACES).stderr
    assert refusal.startswith(message)
    assert tried("sh", "-c", f'{refusal.rpartition("folder: ")[2]}\nexec "$@"', "sh", *PLACES).returncode == 0


def test_a_project_that_cannot_be_written_is_refused(monkeypatch):
    monkeypatch.chdir("/proc")
    assert next(unusable_places()).startswith("/proc: the project's folder cannot be written (")
    with pytest.raises(SeamarkError, match="/proc"):
        prepare_environment(Path("project"))


@pytest.mark.parametrize(
    ("spoil", "refusal"),
    [
        (lambda folder: folder.touch(), "Not a directory"),
        (lambda folder: folder.symlink_to("nowhere"), "No such file or directory"),
        (lambda folder: folder.symlink_to("/proc"), ""),
    ],
    ids=["file", "dangling", "unwritable"],
)
@pytest.mark.parametrize("name", ["out", "submissions"])
def test_a_folder_of_results_that_takes_none_is_refused(tmp_path, monkeypatch, name, spoil, refusal):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    spoil(tmp_path / name)
    (problem,) = unusable_places()
    assert problem.startswith(f"{tmp_path / name}: results cannot be written there ({refusal}")
    (tmp_path / name).rename(tmp_path / "away")
    assert not list(unusable_places())


@pytest.mark.parametrize(("on_node", "left"), [(True, None), (False, "0,1")])
def test_gpus_of_the_machine_that_submits_are_not_those_of_a_node(monkeypatch, on_node, left):
    monkeypatch.setenv("SEAMARK_GPUS", "0,1")
    prepare_environment(Path("project"), on_node)
    assert os.environ.get("SEAMARK_GPUS") == left
