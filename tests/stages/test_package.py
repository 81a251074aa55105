"""package as a stage: manifests in, a checked archive out."""

import json
import shutil

import pytest
from tests.indexes import write_lists
from tests.stages.private_run import SIZES, SPLITS, Run, stage

from seamark.errors import ManifestError, SubmissionError
from seamark.manifests.base import read_manifest, write_manifest
from seamark.manifests.index import IndexManifest
from seamark.manifests.maps import MapsManifest
from seamark.manifests.masks import MasksManifest
from seamark.manifests.submission import ChallengeVerdict, CheckReport, RuleBreach, SubmissionProvenance
from seamark.running.job import Job
from seamark.submission import checker


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
    monkeypatch.setattr("tests.stages.private_run.stage", lambda name: main)
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
