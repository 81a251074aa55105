"""Variations of a run in one flow: what they share, what a change makes again, and that each is what a run would be."""

import csv
import json
import re
from collections import Counter

import pytest
import yaml
from tests.workflow.project import Project

SETTINGS = {
    "data": {
        "root": "photographs",
        "truth_root": "truth",
        "demo": False,
        "categories": ["bolt"],
        "splits": ["validation", "test_private"],
    },
    "detectors": {"constant": {"backbone": "efficientnet_lite0", "bump": 1.0, "brightness": 1.0}},
    "fuse": {"members": ["constant"]},
    "refine": {"method": "grabcut"},
    "evaluate": {"resamples": 20},
}
UNREFINED = {"refine": {"method": "none"}}
ABLATE = {
    "unrefined": UNREFINED,
    "rougher": {"merge": {"smooth_sigma_px": 0.0}},
    "rougher_unrefined": [{"merge": {"smooth_sigma_px": 0.0}}, "unrefined.yaml"],
    "nothing": {},
}
PER_SPLIT = 2


def jobs(project, target, *options):
    """Number of jobs per rule that a dry run announces."""
    result = project.snakemake(target, options=("-n", *options))
    return Counter({rule: int(n) for rule, n in re.findall(r"^(\w+)\s+(\d+)$", result.stdout + result.stderr, re.M)})


def refusal(project, target="ablate"):
    result = project.snakemake(target, options=("-n",), check=False)
    assert result.returncode != 0
    return result.stdout + result.stderr


def vary(project, ablate):
    """Set the variations; other settings stay."""
    path = project.folder / "tiny.yaml"
    path.write_text(yaml.safe_dump(yaml.safe_load(path.read_text()) | {"ablate": ablate}, sort_keys=False))


def prepare(project):
    path = project.folder / "tiny.yaml"
    path.write_text(yaml.safe_dump(yaml.safe_load(path.read_text()) | SETTINGS))
    (project.folder / "unrefined.yaml").write_text(yaml.safe_dump(UNREFINED | {"run": "mine", "data": {"root": "no"}}))
    vary(project, ABLATE)
    return project


@pytest.fixture
def fresh(tmp_path):
    return prepare(Project.fresh(tmp_path))


@pytest.fixture(scope="module")
def ablated(made_once):
    """A finished ablation; never change it."""
    return made_once("ablated", lambda project: prepare(project).snakemake("ablate"))


@pytest.fixture
def project(ablated, tmp_path):
    return ablated.copy(tmp_path / "project")


def test_one_flow_shares_every_stage_that_a_variation_does_not_touch(fresh):
    planned = jobs(fresh, "ablate")
    assert planned["crop"] == 1 + PER_SPLIT
    assert planned["index"] == 1 + PER_SPLIT
    assert planned["inventory"] == planned["train"] == planned["ablation"] == 1
    assert planned["infer"] == PER_SPLIT
    for stage in ("merge", "fuse", "calibrate", "binarize"):
        assert planned[stage] == 2 * PER_SPLIT, "the run and rougher"
    assert planned["refine"] == 4 * PER_SPLIT
    assert planned["evaluate"] == 4, "nothing is the run itself"


def test_the_table_has_a_row_for_the_run_and_every_variation(ablated):
    folder = ablated.out / "ablation"
    assert (folder / "index.html").is_file()
    with (folder / "table.csv").open(newline="") as stream:
        assert {row["run"] for row in csv.DictReader(stream)} == {"tiny", *ABLATE}
    assert "unrefined.yaml" in (folder / "index.html").read_text()
    assert {path.name for path in ablated.out.parent.iterdir()} == {
        "tiny", "tiny+unrefined", "tiny+rougher", "tiny+rougher_unrefined",
    }  # fmt: skip
    assert sorted(path.name for path in (ablated.out.parent / "tiny+rougher_unrefined").iterdir()) == [
        "70_refined", "75_verdicts", "90_eval", "benchmarks", "logs",
    ]  # fmt: skip


def test_a_second_call_does_nothing(ablated):
    assert jobs(ablated, "ablate") == Counter()
    assert jobs(ablated, "evaluation") == Counter()


def test_what_is_missing_on_the_way_to_the_table_is_made_again(project):
    (project.out.parent / "tiny+rougher/40_maps/constant/bolt/test_private.json").unlink()
    planned = jobs(project, "ablate")
    assert planned["merge"] == 1
    assert planned["fuse"] >= 1


def test_a_changed_variation_runs_its_own_stages_and_the_table(project):
    vary(project, ABLATE | {"rougher_unrefined": {"merge": {"smooth_sigma_px": 0.0}, "refine": {"top_n": 1}}})
    assert jobs(project, "ablate") == Counter(
        refine=PER_SPLIT, verdict=PER_SPLIT, evaluate=1, ablation=1, ablate=1, total=2 * PER_SPLIT + 3
    )  # fmt: skip


def test_a_new_variation_runs_what_is_new(project):
    vary(project, ABLATE | {"strict": {"binarize": {"mean_std": {"k": 5.0}}}})
    planned = jobs(project, "ablate")
    assert planned == Counter(
        **dict.fromkeys(("binarize", "refine", "verdict"), PER_SPLIT), evaluate=1, ablation=1, ablate=1,
        total=3 * PER_SPLIT + 3,
    )  # fmt: skip


def test_another_map_for_ranking_is_only_evaluated_anew(project):
    vary(project, ABLATE | {"ranked": {"ranking": {"fit": "quantiles"}}})
    assert jobs(project, "ablate") == Counter(evaluate=1, ablation=1, ablate=1, total=3)
    project.snakemake("ablate")
    fused, fitted = (
        json.loads((project.out.parent / place / "90_eval/bolt.json").read_text()) for place in ("tiny", "tiny+ranked")
    )
    assert "ranking" not in fused
    assert fitted["ranking"]["low_score"] < fitted["ranking"]["high_score"]
    assert fitted["subsets"][0]["refined"] == fused["subsets"][0]["refined"]
    assert "maps fitted" in (project.out / "ablation/index.html").read_text()
    assert jobs(project, "ablate") == Counter()


def test_a_dropped_variation_only_writes_the_table_anew(project):
    vary(project, ABLATE | {"unrefined": None, "nothing": None})
    assert jobs(project, "ablate") == Counter(ablation=1, ablate=1, total=2)


def test_a_variation_is_byte_for_byte_what_a_run_of_its_settings_is(project):
    """Seeds do not depend on where a job works."""
    project.configure({"run": "alone", "merge": {"smooth_sigma_px": 0.0}})
    project.snakemake("evaluation")
    out = project.folder / "out"
    varied = {path.relative_to(out / "tiny+rougher"): path for path in (out / "tiny+rougher").rglob("*")}
    compared = 0
    for name, path in varied.items():
        if path.is_file() and name.parts[0][:2].isdigit() and not path.name.endswith(".prov.json"):
            assert path.read_bytes() == (out / "alone" / name).read_bytes(), name
            compared += 1
    assert compared > 10


def test_compare_puts_presets_and_finished_runs_beside_the_run(project):
    project.configure({"run": "other"})
    project.configure({"compare": {"presets": {"raw": ["unrefined.yaml"]}, "runs": ["tiny"], "images": 1}})
    planned = jobs(project, "compare")
    assert planned["comparison"] == 1
    assert planned["refine"] == 2 * PER_SPLIT
    masks = project.out / "75_verdicts/bolt/validation.json"
    masks.write_text(masks.read_text() + "\n")
    text = refusal(project, "compare")
    assert "out/tiny/90_eval/bolt.json of tiny are stale, made before verdict ran again" in text
    masks.unlink()
    text = refusal(project, "compare")
    assert "compare.runs: tiny is not finished, it lacks out/tiny/75_verdicts/bolt/validation.json" in text
    assert "-- evaluation" in text


def test_bad_variations_are_refused_before_anything_runs(fresh):
    vary(fresh, {"a": {"merge": {"blnd": "mean"}}})
    assert "merge.blnd: unknown key (tiny.yaml, line " in refusal(fresh)
    vary(fresh, {})
    assert "ablate: this section is empty" in refusal(fresh)
