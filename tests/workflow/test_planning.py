"""Plans and refusals of the Snakefile."""

import re
import subprocess
import sys
import textwrap

import pytest
from tests.workflow.project import CATEGORIES, CONFIG, ROOT, draw_data

from seamark.data.layout import OFFICIAL_COUNTS
from seamark.errors import DataError, SubmissionError
from seamark.planning.plan import Plan


def full_data_set(root):
    """All 8004 official file names, empty: planning lists them and opens none."""
    for category, counts in OFFICIAL_COUNTS.items():
        folders = {"train": "train/good", "validation": "validation/good", "test_public": "test_public/good"}
        for split, count in counts.items():
            folder = root / category / folders.get(split, split)
            folder.mkdir(parents=True)
            light = "mixed" if split == "test_private_mixed" else "regular"
            for number in range(count):
                (folder / f"{number:03d}_{light}.png").touch()


def test_the_full_challenge_is_planned_without_torch_or_opencv(project):
    full_data_set(project.folder / "mvtec_ad_2")
    project.configure({"data": {"root": "mvtec_ad_2", "truth_root": None, "demo": False}, "run": "full"})
    command = [sys.executable, "-X", "importtime", *project.command("submission")[1:]]
    command[7:7] = ["-n"]
    result = subprocess.run(
        command, cwd=project.folder, capture_output=True, text=True, env=project.environment({}), check=False
    )
    assert result.returncode == 0, result.stdout[-3000:]
    loaded = set(re.findall(r"\|\s+(\S+)$", result.stderr, re.MULTILINE))
    assert "seamark.planning.plan" in loaded
    assert not loaded & {"torch", "cv2", "timm", "scipy", "skimage"}
    jobs = dict(re.findall(r"^(\w+)\s+(\d+)$", result.stdout + result.stderr, re.MULTILINE))
    assert jobs["train"] == "8"
    assert jobs["merge"] == "32"
    assert jobs["package"] == "1"


def refused(project, target="submission"):
    result = project.snakemake(target, options=("-n",), check=False)
    assert result.returncode != 0
    text = result.stdout + result.stderr
    assert not re.search(r'Traceback|Exception|  File "', text)
    return text


@pytest.mark.parametrize(
    ("overlay", "message"),
    [
        ({"merge": {"blnd": "mean"}}, "merge.blnd: unknown key (tiny.yaml, line "),
        ({"overrides": {"blot": {"merge": {}}}}, "no category named blot; did you mean bolt?"),
        ({"data": {"root": "nowhere", "demo": False}}, "nowhere (looked for in /"),
        ({"data": {"root": "photographs", "demo": False, "categories": ["nut"]}}, "data.categories: nut not in"),
        ({"grids": {"tile": {"overlap": 1.0}}}, "grids.tile.overlap"),
        (
            {"fuse": {"members": ["feature_bank"]}, "detectors": {"feature_bank": {"layers": [12]}}},
            "feature_bank.layers: ",
        ),
    ],
)
def test_bad_configurations_are_refused_before_anything_runs(project, overlay, message):
    project.configure(overlay)
    assert message in refused(project)


def test_folders_with_braces_simply_work(project):
    (project.folder / "{a").mkdir()
    (project.folder / "photographs").rename(project.folder / "{a/{category},{0}")
    (project.folder / "truth").rename(project.folder / "{truth}")
    project.configure({"data": {"root": "{a/{category},{0}", "truth_root": "{truth}", "demo": False}, "run": "b"})
    project.snakemake("out/b/00_index/bolt/test_private.truth.json")
    assert "train" in project.snakemake("submission", "out/b/plan.json", options=("-n",)).stdout


def test_an_empty_split_is_refused_before_anything_runs(project):
    for path in (project.folder / "photographs/bolt/test_private").iterdir():
        path.unlink()
    assert "category bolt: no image for test_private" in refused(project)


@pytest.mark.parametrize(
    ("part", "missing"),
    [
        ({"categories": ["bolt"]}, r"photographs also holds cloth;"),
        ({"splits": ["validation", "test_private"]}, r"also holds bolt/test_private_mixed, cloth/test_private_mixed;"),
        ({"demo": True, "categories": ["woven"]}, r"also holds washers;"),
    ],
)
def test_a_partial_submission_is_refused_unless_it_is_wanted(tmp_path, part, missing):
    draw_data(tmp_path)
    raw = CONFIG | {
        "data": CONFIG["data"] | {"root": str(tmp_path / "photographs"), "truth_root": str(tmp_path / "truth")} | part
    }
    with pytest.raises(SubmissionError, match=f"{missing} add them to .*, or set package.allow_partial: true"):
        Plan(raw, ROOT).within_rules(lambda _: ["maps"])(None)
    raw |= {"package": {"allow_partial": True}}
    assert Plan(raw, ROOT).within_rules(lambda _: ["maps"])(None) == ["maps"]


def test_an_unrecognised_category_is_refused_or_left_out_with_a_warning(tmp_path):
    draw_data(tmp_path)
    (tmp_path / "photographs/cloth/train").rename(tmp_path / "photographs/cloth/Training")
    raw = CONFIG | {
        "data": CONFIG["data"] | {"root": str(tmp_path / "photographs"), "truth_root": str(tmp_path / "truth")}
    }
    with pytest.raises(DataError, match=r"folder cloth/ .*rename .*cloth/Training to .*cloth/train"):
        Plan(raw, ROOT)
    for named in ({"data": raw["data"] | {"categories": ["bolt"]}}, {"package": {"allow_partial": True}}):
        planned = Plan(raw | named, ROOT)
        assert planned.categories == ("bolt",)
        assert ["cloth" in text for text in planned.photographs.warnings] == [True] * ("package" in named)
    with pytest.raises(SubmissionError, match="also holds cloth"):
        Plan(raw | {"data": raw["data"] | {"categories": ["bolt"]}}, ROOT).within_rules(lambda _: ["maps"])(None)


def test_a_partial_submission_is_refused_before_anything_runs_or_is_deleted(project):
    before = project.results()
    project.configure({"data": {"categories": ["bolt"]}})
    refused = project.snakemake("submission", check=False).stderr
    assert "\npartial submission: photographs also holds cloth" in refused
    assert not re.search(r"Traceback|Exception|Error", refused)
    assert project.results() == before


FAKE_TRAIN = textwrap.dedent('''
    """Stands in for training: says when it held which device."""
    import time
    from seamark.running.job import run

    def main(job):
        start = time.time()
        time.sleep(2.0)
        job.target("model").write_text("x")
        job.target("manifest").write_text(f"{job.device} {start} {time.time()}")

    run(main, globals())
''')


@pytest.mark.parametrize(("gpus", "shared"), [("0", False), ("0,1", True)])
def test_gpu_jobs_take_turns_on_one_device_and_run_side_by_side_on_two(project, gpus, shared):
    (project.folder / "stages/train.py").write_text(FAKE_TRAIN)
    project.snakemake("models", cores=8, options=("--resources", "mem_mb=100000"), SEAMARK_GPUS=gpus)
    spans = []
    for category in CATEGORIES:
        device, start, end = (project.out / f"20_models/inp_former/{category}/fit.json").read_text().split()
        spans.append((float(start), float(end), device))
    (_, first_end, first), (second_start, _, second) = sorted(spans)
    assert (second_start < first_end) is shared
    assert (first != second) is shared
