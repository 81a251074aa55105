"""Runs that cannot fit are refused before their first job."""

import re

import pytest
from tests.workflow.project import Project


@pytest.fixture
def project(tmp_path):
    """A project in which nothing has run."""
    return Project.fresh(tmp_path)


def refused(project, *options):
    result = project.snakemake("submission", options=options, check=False)
    assert result.returncode != 0
    assert not project.out.exists() or not list(project.out.rglob("*.json"))
    text = result.stdout + result.stderr
    assert not re.search(r'Traceback|Exception|  File "', text)
    return text


def test_too_little_memory_is_refused_with_the_setting_that_would_do(project):
    project.configure({"refine": {"method": "sam", "sam": {"weights": "random"}}})
    message = refused(project, "--resources", "mem_mb=1000")
    assert "--resources mem_mb allows 1.0 GB, but refine" in message
    assert "refine: {method: grabcut} would do" in message


def test_too_small_a_disk_is_refused_with_the_setting_that_would_help(project):
    grid = {"layout": "even", "window_px": 8, "overlap": 0.85, "input_px": 4096}
    project.configure({"grids": {"tile": grid}})
    message = refused(project)
    assert "disk: out" in message
    assert "keep_tiles: false" in message
