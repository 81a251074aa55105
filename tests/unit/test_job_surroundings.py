"""What jobs inherit."""

import os
from pathlib import Path

import pytest

from seamark.planning.environment import KEPT_MEMORY, prepare_environment


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


@pytest.mark.parametrize(("on_node", "left"), [(True, None), (False, "0,1")])
def test_gpus_of_the_machine_that_submits_are_not_those_of_a_node(monkeypatch, on_node, left):
    monkeypatch.setenv("SEAMARK_GPUS", "0,1")
    prepare_environment(Path("project"), on_node)
    assert os.environ.get("SEAMARK_GPUS") == left
