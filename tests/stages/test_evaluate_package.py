"""evaluate and package as stages: manifests in, scores and a checked archive out."""

import csv
import json
import runpy
import shutil
from pathlib import Path

import numpy as np
import pytest
from tests.indexes import with_labelled_masks, write_lists
from tests.verdicts import verdict as judged
from tests.verdicts import verdicts

from seamark.errors import DataError, ManifestError, SubmissionError
from seamark.files.images import array_digest, write_map, write_mask
from seamark.manifests.base import read_manifest, write_manifest
from seamark.manifests.evaluation import EvaluationManifest
from seamark.manifests.index import ImageRecord, IndexManifest, TruthRecord
from seamark.manifests.maps import MapRecord, MapsManifest
from seamark.manifests.masks import MaskRecord, MasksManifest
from seamark.manifests.submission import ChallengeVerdict, CheckReport, RuleBreach, SubmissionProvenance
from seamark.running.job import Job
from seamark.submission import checker

STAGES = Path(__file__).resolve().parents[2] / "stages"
SPLITS = ("test_private", "test_private_mixed")
SIZES = {"felt": (45, 31), "wool": (30, 52)}


def stage(name):
    return runpy.run_path(str(STAGES / f"{name}.py"))["main"]


def image_ids(split):
    return [f"{number:03d}_{split[13:] or 'regular'}" for number in range(3)]


class Run:
    """Index, truth, maps and masks of two categories on disk; the truth is the final mask."""

    def __init__(self, folder):
        self.folder = folder
        self.inputs = {
            "index": [],
            "truth": [],
            "maps": [],
            "calibration": [],
            "coarse": [],
            "masks": [],
            "verdicts": [],
        }
        rng = np.random.default_rng(5)
        for category, size in SIZES.items():
            for name in ("train/good", "validation/good"):
                (folder / "data" / category / name).mkdir(parents=True)
                (folder / "data" / category / name / "000.png").touch()
            records, truths = [], []
            for split in SPLITS:
                self._split(rng, category, split, size, records, truths)
            lists = write_lists(folder / "out/00_index", category, records, truths)
            for name, paths in zip(("index", "truth"), lists, strict=True):
                self.inputs[name] += paths

    def _write(self, name, path, manifest):
        write_manifest(self.folder / "out" / f"{path}.json", manifest)
        self.inputs[name].append(self.folder / "out" / f"{path}.json")

    def _split(self, rng, category, split, size, records, truths):
        width, height = size
        maps, masks = [], []
        for name in image_ids(split):
            mask = rng.random((height, width)) < 0.1
            anomaly_map = (mask + rng.normal(size=mask.shape)).astype(np.float32)
            for kind in ("45_fused", "75_verdicts"):
                (self.folder / "out" / kind / category / split).mkdir(parents=True, exist_ok=True)
            write_map(self.folder / "out" / "45_fused" / category / split / f"{name}.tiff", anomaly_map)
            write_mask(self.folder / "out" / "75_verdicts" / category / split / f"{name}.png", mask)
            truth_file = self.folder / "truth" / category / split / f"{name}_mask.png"
            truth_file.parent.mkdir(parents=True, exist_ok=True)
            write_mask(truth_file, mask)
            records.append(self._record(category, split, name, size))
            (self.folder / "data" / category / split).mkdir(exist_ok=True)
            (self.folder / "data" / records[-1].file).touch()
            relative = str(truth_file.relative_to(self.folder / "truth"))
            defect_px = int(mask.sum())
            truths.append(
                TruthRecord(
                    split=split,
                    id=name,
                    mask=relative,
                    root="truth",
                    sha256=None,
                    bad=defect_px > 0,
                    defect_px=defect_px,
                )
            )
            maps.append(
                MapRecord(
                    id=name,
                    file=f"{split}/{name}.tiff",
                    image_width=width,
                    image_height=height,
                    map_width=width,
                    map_height=height,
                    sha256=array_digest(anomaly_map),
                    minimum=0,
                    maximum=0,
                    mean=0,
                )
            )
            masks.append(
                MaskRecord(
                    id=name,
                    file=f"{split}/{name}.png",
                    width=width,
                    height=height,
                    sha256=array_digest(mask),
                    foreground_px=0,
                    components=0,
                    thresholds=(),
                )
            )
        place = f"{category}/{split}"
        self._write("maps", f"45_fused/{place}", MapsManifest(detector="d", category=category, split=split, maps=maps))
        listed = MasksManifest(category=category, split=split, stage="judged", method="none", masks=masks)
        self._write("masks", f"75_verdicts/{place}", listed)
        said = verdicts(category, split, [judged(record.id, 3.0) for record in masks])
        self._write("verdicts", f"75_verdicts/{place}.verdicts", said)

    @staticmethod
    def _record(category, split, name, size):
        return ImageRecord(
            id=name,
            file=f"{category}/{split}/{name}.png",
            split=split,
            label=None,
            light=name[4:],
            width=size[0],
            height=size[1],
            channels=1,
            sha256="0",
            mask=None,
        )

    def target(self, suffix):
        return self.folder / "submissions" / f"toy{suffix}"

    def package(self, categories=tuple(SIZES), splits=SPLITS, threads=1, challenges=(), ranking=None, **settings):
        def chosen(name):
            return [
                path
                for path in self.inputs[name]
                if (path.stem in categories or path.parent.name in categories)
                and (name == "calibration" or path.stem in (*splits, "train"))
            ]

        job = Job.for_test(
            "package",
            inputs={name: chosen(name) for name in ("index", "maps", "calibration", "masks")},
            outputs={
                "archive": self.target(".tar.gz"),
                "check": self.target(".check.json"),
                "provenance": self.target(".provenance.json"),
            },
            params={
                "settings": {"map_scale": 1.0, "allow_partial": False} | settings,
                "run": "toy",
                "root": str(self.folder / "data"),
                "ranking": ranking,
                "challenges": [verdict.model_dump(mode="json") for verdict in challenges],
            },
            threads=threads,
        )
        stage("package")(job)

    def finished(self):
        return sorted(path.name for path in (self.folder / "submissions").glob("*") if path.is_file())

    def contents(self):
        folder = self.folder / "submissions"
        return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def toy(tmp_path):
    return Run(tmp_path)


def test_package_writes_a_checked_archive(toy, capsys):
    toy.package()
    assert toy.finished() == ["toy.check.json", "toy.provenance.json", "toy.tar.gz"]
    assert not list(toy.target("").parent.rglob(".*"))
    report = read_manifest(toy.target(".check.json"), CheckReport)
    assert report.verdict == "accepted"
    assert [rule.rule for rule in report.rules][-1] == "archive"
    assert report.archive_bytes == toy.target(".tar.gz").stat().st_size
    arguments = [str(toy.target("")), "--index", str(toy.folder / "out/00_index"), "--archive"]
    assert checker.main([*arguments, str(toy.target(".tar.gz"))]) == 0
    assert "12 maps and 12 masks" in capsys.readouterr().out


def test_provenance_of_the_archive(toy):
    toy.package()
    provenance = read_manifest(toy.target(".provenance.json"), SubmissionProvenance)
    assert len(provenance.manifests) == 4 + 4 + 4
    assert provenance.images == {category: dict.fromkeys(SPLITS, 3) for category in SIZES}
    assert {(entry.category, entry.split) for entry in provenance.precision} == {
        (category, split) for category in SIZES for split in SPLITS
    }
    assert "numpy" in provenance.versions


@pytest.mark.parametrize("scale", [1.0, 0.5, 0.25])
def test_every_output_is_the_same_bytes_again_with_any_number_of_threads(toy, scale):
    toy.package(map_scale=scale)
    first = {name: (toy.folder / "submissions" / name).read_bytes() for name in toy.finished()}
    toy.package(map_scale=scale, threads=3)
    assert {name: (toy.folder / "submissions" / name).read_bytes() for name in toy.finished()} == first


def test_a_partial_set_names_what_is_missing(toy):
    with pytest.raises(SubmissionError, match=r"also holds wool;.*allow_partial"):
        toy.package(categories=("felt",))
    assert toy.finished() == []
    with pytest.raises(SubmissionError, match="also holds felt/test_private_mixed, wool/test_private_mixed"):
        toy.package(splits=("test_private",))
    (toy.folder / "data" / "rice.tar.xz").touch()
    with pytest.raises(SubmissionError, match="also holds rice"):
        toy.package()
    (toy.folder / "data" / "rice.tar.xz").unlink()
    toy.package(categories=("felt",), splits=("test_private",), allow_partial=True)
    report = read_manifest(toy.target(".check.json"), CheckReport)
    assert [(f.category, f.split) for f in report.folders] == [("felt", "test_private")]


def test_a_nested_category_counts(toy):
    (toy.folder / "data" / "can" / "can" / "train").mkdir(parents=True)
    (toy.folder / "data" / "notes").mkdir()
    with pytest.raises(SubmissionError, match="also holds can;"):
        toy.package()


def test_a_refused_submission_leaves_a_report_and_what_was_there_before(toy, monkeypatch):
    toy.package()
    before = toy.contents()
    main = stage("package")
    monkeypatch.setitem(main.__globals__, "write_submission", _without_a_map(main.__globals__["write_submission"]))
    monkeypatch.setitem(globals(), "stage", lambda name: main)
    with pytest.raises(SubmissionError, match=r"rule names.*\n.*000_regular\.tiff: this file is missing"):
        toy.package()
    assert toy.finished() == ["toy.check.failed.json", "toy.check.json", "toy.provenance.json", "toy.tar.gz"]
    assert toy.contents() | before == toy.contents()
    assert json.loads(toy.target(".check.failed.json").read_text())["verdict"] == "refused"
    monkeypatch.undo()
    toy.package()
    assert toy.finished() == ["toy.check.json", "toy.provenance.json", "toy.tar.gz"]


def judge(toy, gate):
    """Put the refined masks of every split through the verdict stage, with the same images as the normal ones."""
    out, judged_masks = toy.folder / "out", []
    for maps, masks in zip(toy.inputs["maps"], toy.inputs["masks"], strict=True):
        place = masks.relative_to(out / "70_refined")
        normal = maps.with_name(f"validation_{maps.name}")
        write_manifest(normal, read_manifest(maps, MapsManifest).model_copy(update={"split": "validation"}))
        inputs, targets = {"maps": maps, "masks": masks}, out / "75_judged" / place
        for name, source in (("calibration", maps), ("normal", normal)):
            inputs[name] = out / "50_calibration" / name / place
            files = {"manifest": inputs[name], "histogram": inputs[name].with_suffix(".npy")}
            stage("calibrate")(Job.for_test("calibrate", {"maps": source}, files, {"settings": {}}))
        files = {"manifest": targets, "verdicts": targets.with_suffix(".verdicts.json")}
        stage("verdict")(Job.for_test("verdict", inputs, files, {"settings": {"gate": gate}, "binarize": {}}))
        judged_masks.append(targets)
    toy.inputs["masks"] = judged_masks


@pytest.mark.parametrize("gate", [False, True])
def test_without_the_gate_the_archive_has_the_bytes_of_the_refined_masks(toy, gate):
    """Every image is as its normal ones, and every mask has pixels: a gate empties them all."""
    for number, path in enumerate(toy.inputs["masks"]):
        refined = toy.folder / "out/70_refined" / path.relative_to(toy.folder / "out/75_verdicts")
        shutil.copytree(path.with_suffix(""), refined.with_suffix(""))
        write_manifest(refined, read_manifest(path, MasksManifest).model_copy(update={"stage": "refined"}))
        toy.inputs["masks"][number] = refined
    toy.package()
    as_refined = toy.target(".tar.gz").read_bytes()
    judge(toy, gate)
    toy.package()
    assert (toy.target(".tar.gz").read_bytes() == as_refined) is not gate


def verdict(enforced):
    breach = RuleBreach(
        rule="thresholds_without_test", setting="binarize.mebin.enabled", values={"*": True}, remedy="!"
    )
    return ChallengeVerdict(challenge="vand4", enforced=enforced, breaches=(breach,), cautions=())


def test_the_verdict_of_a_challenge_is_recorded(toy):
    toy.package(challenges=[verdict(enforced=False)])
    assert read_manifest(toy.target(".check.json"), CheckReport).challenges == (verdict(enforced=False),)


def test_settings_that_break_the_chosen_rules_are_refused(toy):
    with pytest.raises(SubmissionError, match=r"vand4 refuses these settings:\n  - binarize\.mebin\.enabled"):
        toy.package(challenges=[verdict(enforced=True)])
    assert toy.finished() == []


def learn_from_a_test_photograph(toy):
    path = toy.inputs["index"][0]
    index = read_manifest(path, IndexManifest)
    learned = index.images[0].model_copy(update={"split": "train", "file": "felt/train/good/000.png"})
    toy.inputs["index"] += write_lists(toy.folder / "out/00_index", "felt", [learned])[0]


def test_test_photographs_that_were_learned_from_are_a_warning_or_refused_by_rules(toy):
    learn_from_a_test_photograph(toy)
    kept = ChallengeVerdict(challenge="vand4", enforced=False, breaches=(), cautions=())
    toy.package(challenges=[kept])
    report = read_manifest(toy.target(".check.json"), CheckReport)
    assert [breach.rule for breach in report.challenges[0].breaches] == ["unseen_test_images"]
    assert any("the same file as felt/train/good/000.png" in warning for warning in report.warnings)
    with pytest.raises(SubmissionError, match=r"vand4 refuses .*\n.*felt/train/good/000\.png"):
        toy.package(challenges=[kept.model_copy(update={"enforced": True})])


def _without_a_map(write_submission):
    def spoiled(folder, *arguments):
        written = write_submission(folder, *arguments)
        (folder / "anomaly_images/felt/test_private/000_regular.tiff").unlink()
        return written

    return spoiled


def test_a_failed_writing_leaves_archive_check_and_folder_as_they_were(toy):
    toy.package()
    before = toy.contents()
    (toy.folder / "out/45_fused/wool/test_private/001_regular.tiff").write_bytes(b"")
    with pytest.raises(ManifestError, match=r"001_regular\.tiff"):
        toy.package(map_scale=0.5)
    assert toy.contents() == before


def test_public_splits_are_refused(toy):
    path = toy.inputs["maps"][0]
    manifest = read_manifest(path, MapsManifest)
    write_manifest(path, manifest.model_copy(update={"split": "test_public"}))
    with pytest.raises(SubmissionError, match="not a private split"):
        toy.package()


def test_nothing_to_submit(toy):
    with pytest.raises(SubmissionError, match="nothing to submit"):
        toy.package(splits=())


def test_maps_must_list_the_images_of_the_index(toy):
    path = toy.inputs["maps"][0]
    manifest = read_manifest(path, MapsManifest)
    write_manifest(path, manifest.model_copy(update={"maps": manifest.maps[1:]}))
    with pytest.raises(ManifestError, match=str(path)):
        toy.package()


def test_sizes_must_agree_with_the_index(toy):
    path = toy.inputs["masks"][0]
    manifest = read_manifest(path, MasksManifest)
    masks = tuple(mask.model_copy(update={"width": 7}) for mask in manifest.masks)
    write_manifest(path, manifest.model_copy(update={"masks": masks}))
    with pytest.raises(ManifestError, match=r"felt/test_private/000_regular\.png: .* 7 x 31"):
        toy.package()


def evaluate(toy, threads, ranking=None):
    refined = [path for path in toy.inputs["masks"] if path.parent.name == "felt"]
    target = toy.folder / "out" / "90_eval" / "felt.json"
    job = Job.for_test(
        "evaluate",
        inputs={
            "index": toy.inputs["index"][:2],
            "truth": toy.inputs["truth"][:2],
            "maps": [path for path in toy.inputs["maps"] if path.parent.name == "felt"],
            "calibration": [path for path in toy.inputs["calibration"] if path.parent.name == "felt"],
            "coarse": refined,
            "refined": refined,
            "verdicts": [path for path in toy.inputs["verdicts"] if path.parent.name == "felt"],
        },
        outputs={
            "manifest": target,
            "curves": target.with_suffix(".curves.csv"),
            "table": target.with_suffix(".verdicts.csv"),
        },
        params={
            "settings": {"fpr_limit": 0.05, "resamples": 30},
            "grids": [{"window_px": 16, "input_px": 8}],
            "ranking": ranking,
            "root": str(toy.folder / "data"),
            "truth_root": str(toy.folder / "truth"),
        },
        threads=threads,
    )
    stage("evaluate")(job)
    return target


def test_evaluate_writes_the_same_manifest_with_any_number_of_threads(toy):
    first = evaluate(toy, 1).read_bytes()
    assert evaluate(toy, 3).read_bytes() == first
    manifest = read_manifest(evaluate(toy, 1), EvaluationManifest)
    assert [(s.split, s.light) for s in manifest.subsets] == [
        ("test_private", "all"),
        ("test_private", "regular"),
        ("test_private_mixed", "all"),
        ("test_private_mixed", "mixed"),
    ]
    assert {s.refined.seg_f1 for s in manifest.subsets} == {1.0}
    assert {s.verdict.bad.true_positive_rate for s in manifest.subsets} == {1.0}
    assert len(manifest.images) == 6
    assert 0.5 < manifest.subsets[0].pixel_auroc < 1
    rows = list(csv.DictReader(evaluate(toy, 1).with_suffix(".verdicts.csv").open(encoding="utf-8")))
    assert [(row["category"], row["split"], row["image"]) for row in rows] == [
        ("felt", split, name) for split in SPLITS for name in image_ids(split)
    ]


def test_labelled_masks_in_a_folder_score_as_their_union(toy):
    before = read_manifest(evaluate(toy, 1), EvaluationManifest)
    for path in toy.inputs["truth"][:2]:
        with_labelled_masks(path, toy.folder / "truth")
    assert read_manifest(evaluate(toy, 1), EvaluationManifest) == before


def test_evaluate_needs_truth_that_agrees(toy):
    shutil.rmtree(toy.folder / "truth" / "felt" / "test_private")
    with pytest.raises(DataError, match=r"000_regular_mask\.png"):
        evaluate(toy, 1)
