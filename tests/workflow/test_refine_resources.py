"""Only refinement with a network takes a GPU."""

import re

import pytest
from tests.workflow.project import CATEGORIES, SPLITS, Project

SAM = {"refine": {"method": "sam", "sam": {"weights": "random"}}}

GRABCUT_MB, NETWORK_MB = 550, 4250
MESSAGE = '    message:\n        "Refining the masks of {wildcards.category} {wildcards.split}"\n'


@pytest.fixture
def project(tmp_path):
    """A project in which nothing has run, and whose plan shows what refine jobs get instead of their message."""
    fresh = Project.fresh(tmp_path)
    rules = (tmp_path / "rules/masks.smk").read_text()
    assert rules.count(MESSAGE) == 1
    (tmp_path / "rules/masks.smk").write_text(rules.replace(MESSAGE, ""))
    return fresh


def refine_resources(project, gpus):
    """Return GPUs, memory and threads that the plan gives each refine job, by category and split."""
    plan = project.snakemake("masks", options=("-n",), SEAMARK_GPUS=gpus).stdout
    found = {}
    for block in re.findall(r"rule refine:\n(.*?)(?=\n\[|\Z)", plan, re.DOTALL):
        facts = dict(re.findall(r"(category|split|gpu|mem_mb)=(\w+)", block))
        threads = re.search(r"threads: (\d+)", block)
        given = int(facts.get("gpu", 0)), int(facts["mem_mb"]), int(threads[1]) if threads else 1
        found[facts["category"], facts["split"]] = given
    assert len(found) == len(CATEGORIES) * len(SPLITS)
    return found


def test_grabcut_leaves_the_gpu_to_others(project):
    assert set(refine_resources(project, "0").values()) == {(0, GRABCUT_MB, 1)}


@pytest.mark.parametrize(("gpus", "given"), [("0", (1, NETWORK_MB, 2)), ("", (0, NETWORK_MB, 1))])
def test_a_network_gets_a_gpu_where_there_is_one_and_only_for_the_jobs_that_use_it(project, gpus, given):
    project.configure(SAM | {"overrides": {"cloth": {"refine": {"method": "none"}}}})
    found = refine_resources(project, gpus)
    assert {facts for (category, _), facts in found.items() if category == "bolt"} == {given}
    assert {facts for (category, _), facts in found.items() if category == "cloth"} == {(0, GRABCUT_MB, 1)}
