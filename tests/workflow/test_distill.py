"""The teacher of EfficientAD in a run: distilled once for all categories and runs; its maps weighed without scoring."""

import pytest
from tests.workflow.project import CATEGORIES, Project

BLOCK = {
    "grid": "tile",
    "backbone": "efficientnet_lite0",
    "weights": "random",
    "layers": [2, 3],
    "width": 1 / 16,
    "channels": 8,
    "steps": 2,
    "distill": {"input_px": 64, "steps": 1, "batch_size": 1, "statistics_crops": 2, "evaluate_every": 1},
}


@pytest.fixture(scope="module")
def fresh(tmp_path_factory):
    project = Project.fresh(tmp_path_factory.mktemp("distill"))
    project.configure({"detectors": {"efficientad": BLOCK}, "fuse": {"members": ["efficientad"], "weights": {}}})
    return project


def test_a_run_distils_once_for_all_categories_and_only_where_it_must(fresh, tmp_path):
    project = fresh.copy(tmp_path)
    planned = project.planned("models")
    assert {job: number for job, number in planned.items() if job[0] == "distill"} == {("distill", None, None): 1}
    assert {job[1] for job in planned if job[0] == "train"} == set(CATEGORIES)
    project.configure({"detectors": {"efficientad": BLOCK | {"teacher": "random"}}})
    assert not [job for job in project.planned("models") if job[0] == "distill"]
    project.configure(
        {"detectors": {"constant": {"backbone": "efficientnet_lite0"}}, "fuse": {"members": ["constant"]}}
    )
    assert not [job for job in project.planned("models") if job[0] == "distill"]


def test_another_run_takes_the_teacher_that_is_there_and_alpha_scores_nothing(fresh, tmp_path):
    project = fresh.copy(tmp_path)
    target = "out/{}/40_maps/efficientad/bolt/validation.json"
    project.snakemake(target.format("tiny"))
    assert (project.out / "30_tilemaps/efficientad/bolt/validation.components.npy").exists()
    before = (project.out / "40_maps/efficientad/bolt/validation.json").read_bytes()
    project.configure({"merge": {"smooth_sigma_px": 2.0, "alpha": 1.0}})
    assert {job[0] for job in project.planned(target.format("tiny"))} == {"merge"}
    project.snakemake(target.format("tiny"))
    assert (project.out / "40_maps/efficientad/bolt/validation.json").read_bytes() != before
    project.configure({"run": "other", "detectors": {"efficientad": BLOCK | {"steps": 1}}})
    planned = {job[0] for job in project.planned(target.format("other"))}
    assert "train" in planned
    assert "distill" not in planned


def test_alpha_without_efficientad_is_refused(fresh, tmp_path):
    project = fresh.copy(tmp_path)
    project.configure({"detectors": {"constant": {}}, "fuse": {"members": ["constant"]}, "merge": {"alpha": 0.5}})
    result = project.snakemake("models", options=("-n",), check=False)
    assert "merge.alpha: weighs the maps of efficientad" in result.stdout + result.stderr
