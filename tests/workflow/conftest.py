"""Finished runs, each made once for all workers; tests that change one work on a copy of it."""

import fcntl

import pytest
from tests.workflow.project import BUNDLED, Project


@pytest.fixture(scope="session")
def made_once(tmp_path_factory, worker_id):
    """Run what is asked for in a fresh project of a name, or return the one that another worker has made."""

    def made(name, run):
        base = tmp_path_factory.getbasetemp()
        folder = (base if worker_id == "master" else base.parent) / name
        folder.mkdir(exist_ok=True)
        with (folder / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if (folder / "done").exists():
                return Project(folder / "project")
            project = Project.fresh(folder / "project")
            run(project)
            (folder / "done").touch()
        return project

    return made


@pytest.fixture(scope="session")
def finished(made_once):
    """A finished run; never change it."""
    return made_once("finished", lambda project: project.snakemake("submission"))


@pytest.fixture(scope="session")
def bundled(made_once):
    """A run of two named blocks up to verdicts and bundle; never change it."""

    def run(project):
        project.configure(BUNDLED)
        project.snakemake("verdicts", "bundle")

    return made_once("bundled", run)


@pytest.fixture
def project(finished, tmp_path):
    """A copy of the finished run to play with."""
    return finished.copy(tmp_path / "project")
