"""The target ``plan`` tells what a run takes, of all the jobs that it really has, and refuses what cannot fit."""

import json
import re

import pytest
from tests.workflow.project import Project


@pytest.fixture
def project(tmp_path):
    """A project in which nothing has run."""
    return Project.fresh(tmp_path)


def test_plan_tells_of_every_job_and_again_when_asked_again(project):
    told = project.snakemake("plan").stdout
    plan = json.loads((project.out / "plan.json").read_text())
    dry = project.snakemake("submission", options=("-n",))
    counts = dict(re.findall(r"^(\w+)\s+(\d+)$", dry.stdout + dry.stderr, re.MULTILINE))
    real = {stage: int(count) for stage, count in counts.items() if stage not in ("submission", "total")}
    assert {stage["stage"]: stage["jobs"] for stage in plan["stages"]} == real
    assert {stage["done"] for stage in plan["stages"]} == {0}
    assert plan["rough_s"] > 0
    assert "it fits" in told
    thresholds, verdicts = plan["notes"]
    assert thresholds == "thresholds: mean_std: nothing"
    assert verdicts.endswith(
        "2 normal images tell no smaller share than 0.333, which is taken instead; needs at least 19"
    )
    assert plan["notes"][0] in told.splitlines()
    assert told.count("\ntrain ") == 1
    assert "Measuring" in "".join(project.snakemake("plan", options=("-n",)).stdout)


def test_plan_refuses_too_little_memory_with_the_setting_that_would_do(project):
    project.configure({"refine": {"method": "sam", "sam": {"weights": "random", "model": "vit_h"}}})
    result = project.snakemake("plan", options=("--resources", "mem_mb=1000"), check=False)
    assert result.returncode != 0
    assert "refine: {method: grabcut} would do" in result.stdout + result.stderr
    assert "\ntrain " in result.stdout


def test_plan_refuses_too_small_a_disk(project):
    grid = {"layout": "even", "window_px": 8, "overlap": 0.85, "input_px": 4096}
    project.configure({"grids": {"tile": grid}})
    result = project.snakemake("plan", check=False)
    assert result.returncode != 0
    assert "disk: out" in result.stdout
    assert "keep_tiles: false" in result.stdout
