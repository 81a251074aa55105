"""One finished run, made once; tests work on copies of it."""

import fcntl

import pytest
from tests.workflow.project import Project


@pytest.fixture(scope="session")
def finished(tmp_path_factory, worker_id):
    """A finished run, made once for all workers; never change it."""
    base = tmp_path_factory.getbasetemp()
    folder = (base if worker_id == "master" else base.parent) / "finished"
    folder.mkdir(exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if (folder / "done").exists():
            return Project(folder / "project")
        project = Project.fresh(folder / "project")
        project.snakemake("submission")
        (folder / "done").touch()
    return project


@pytest.fixture
def project(finished, tmp_path):
    """A copy of the finished run to play with."""
    return finished.copy(tmp_path / "project")
