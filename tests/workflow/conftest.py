"""One finished run, made once; tests work on copies of it."""

import pytest
from tests.workflow.project import Project


@pytest.fixture(scope="session")
def finished(tmp_path_factory):
    """A finished run, made once; never change it."""
    project = Project.fresh(tmp_path_factory.mktemp("finished"))
    project.snakemake("submission")
    return project


@pytest.fixture
def project(finished, tmp_path):
    """A copy of the finished run to play with."""
    return finished.copy(tmp_path / "project")
