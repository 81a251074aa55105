"""The checker's report, expectations and command line; what is refused stands in test_mutations.py."""

import shutil

import numpy as np
import pytest
from PIL import Image
from tests.indexes import indexes
from tests.submission.spoiling import MAP, MASK, SHAPE, add, binary, half, write_png, write_tiff

from seamark.errors import SubmissionError
from seamark.manifests.base import read_manifest, write_manifest
from seamark.manifests.index import ImageRecord
from seamark.manifests.submission import CheckReport
from seamark.submission import checker
from seamark.submission.checker import check_submission
from seamark.submission.expected import ExpectedSubmission, expected_submission, official_submission


def sequentially(function, items, _):
    return [function(item) for item in items]


def check(folder, expected):
    return check_submission(folder, expected, sequentially)


def broken(report):
    return {rule.rule for rule in report.rules if not rule.passed}


def test_the_accepted_set_passes(submission, expected):
    report = check(submission, expected)
    assert report.verdict == "accepted"
    assert not broken(report)
    assert not report.warnings
    assert [(f.category, f.split, f.maps, f.masks) for f in report.folders] == [
        ("felt", "test_private", 3, 3),
        ("felt", "test_private_mixed", 2, 2),
        ("wool", "test_private", 3, 3),
        ("wool", "test_private_mixed", 2, 2),
    ]
    assert report.total_bytes == sum(path.stat().st_size for path in submission.rglob("*") if path.is_file())


def test_a_missing_folder_is_refused(tmp_path, expected):
    assert "folder" in broken(check(tmp_path / "nowhere", expected))


def test_full_scale_is_always_allowed_and_the_scale_only_when_configured(submission, expected):
    write_tiff(half(shape=(10, 12)))(submission)
    assert broken(check(submission, ExpectedSubmission(expected.images, 1.0))) == {"map_size"}


def test_warnings(submission, expected):
    for path in (submission / "anomaly_images_thresholded/felt/test_private").iterdir():
        Image.fromarray(np.zeros(SHAPE, np.uint8)).save(path)
    write_png(np.full((56, 40), 255, np.uint8), name=MASK.replace("felt", "wool"))(submission)
    write_tiff(half())(submission)
    report = check(submission, expected)
    assert report.verdict == "accepted"
    warnings = "\n".join(report.warnings)
    assert "felt/test_private: all 3 masks are empty" in warnings
    assert "1 of 3 masks are 255 everywhere" in warnings
    assert "1 of 3 maps have fewer than 256 distinct scores" in warnings
    assert "more than half of their pixels one and the same score" in warnings
    assert (report.folders[0].empty_masks, report.folders[2].full_masks) == (3, 1)


def test_missing_masks_warn(submission, expected):
    shutil.rmtree(submission / "anomaly_images_thresholded")
    assert "SegF1 = 0" in check(submission, expected).warnings[0]


def test_reports_are_deterministic_and_round_trip(submission, expected, tmp_path):
    write_png(binary() // 255)(submission)
    for name in ("one", "two"):
        write_manifest(tmp_path / name, check(submission, expected))
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()
    assert read_manifest(tmp_path / "one", CheckReport) == check(submission, expected)


def index(category, sizes, splits=("test_private", "test_private_mixed")):
    images = [
        ImageRecord(
            id=f"{number:03d}_{split[13:] or 'regular'}",
            file=f"{category}/{split}/{number:03d}.png",
            split=split,
            label=None,
            light="regular",
            width=width,
            height=height,
            channels=1,
            sha256="0",
            mask=None,
        )
        for split in splits
        for number, (width, height) in enumerate(sizes)
    ]
    return list(indexes(category, images).values())


def test_official_counts_and_names():
    submission = official_submission(0.25)
    assert {split: sum(len(s[split]) for s in submission.images.values()) for split in ("test_private",)} == {
        "test_private": 2045
    }
    assert sum(len(images) for splits in submission.images.values() for images in splits.values()) == 4090
    assert submission.images["vial"]["test_private_mixed"][275].name == "275_mixed"
    assert (submission.images["sheet_metal"]["test_private"][0].width) == 4224


def test_the_eight_official_names_bring_the_official_counts():
    splits = ("test_private", "test_private_mixed")
    official = official_submission(1.0)
    eight = [one for category in official.images for one in index(category, [(8, 8)])]
    assert expected_submission(eight, splits, 1.0) == official
    seven = expected_submission(eight[2:], splits, 1.0)
    assert {len(images) for by_split in seven.images.values() for images in by_split.values()} == {1}


def test_a_rehearsal_with_shrunken_images_keeps_official_counts_and_says_so(tmp_path):
    rehearsal = official_submission(1.0, image_scale=0.25)
    full = official_submission(1.0)
    for category, splits in full.images.items():
        for split, images in splits.items():
            small = rehearsal.images[category][split]
            assert [image.name for image in small] == [image.name for image in images]
            assert (small[0].width * 4, small[0].height * 4) == (images[0].width, images[0].height)
    tmp_path.joinpath("anomaly_images").mkdir()
    assert any("a rehearsal: images of 0.25" in warning for warning in check(tmp_path, rehearsal).warnings)
    assert not any("rehearsal" in warning for warning in check(tmp_path, full).warnings)


def test_other_data_takes_counts_and_sizes_from_the_index():
    only_private = index("felt", [(8, 9), (10, 11)], ("test_private",))
    expected = expected_submission(only_private, ("test_private", "test_private_mixed"), 1.0)
    assert list(expected.images["felt"]) == ["test_private"]
    assert [(i.width, i.height) for i in expected.images["felt"]["test_private"]] == [(8, 9), (10, 11)]


def write_indexes(folder):
    (listed,) = index("felt", [(48, 40)] * 2, ("test_private_mixed",))
    write_manifest(folder / "felt" / "test_private_mixed.json", listed)
    for name in ("felt.json", "felt/test_private_mixed.prov.json", "felt/test_private_mixed.truth.json"):
        (folder / name).write_text("{}")


def keep_only(submission):
    for kind in ("anomaly_images", "anomaly_images_thresholded"):
        shutil.rmtree(submission / kind / "wool")
        shutil.rmtree(submission / kind / "felt" / "test_private")


def test_command_line(submission, tmp_path, capsys):
    write_indexes(tmp_path / "00_index")
    keep_only(submission)
    arguments = [str(submission), "--index", str(tmp_path / "00_index"), "--splits", "test_private_mixed"]
    assert checker.main(arguments) == 0
    assert "toy: accepted" in capsys.readouterr().out
    add("log.txt")(submission)
    assert checker.main(arguments) == 1
    assert "log.txt" in capsys.readouterr().out


def test_command_line_without_an_index_wants_the_whole_data_set(submission, capsys):
    assert checker.main([str(submission)]) == 1
    assert "anomaly_images/walnuts: this category folder is missing" in capsys.readouterr().out


@pytest.mark.parametrize("arguments", [["none.tar.gz"], ["none"], [".", "--archive", "none"]])
def test_command_line_names_what_is_not_there_and_where_it_was_looked_for(arguments, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert checker.main(arguments) == 1
    assert capsys.readouterr().out == f"{arguments[-1]} (looked for in {tmp_path}): does not exist; correct the path\n"


def test_command_line_names_a_folder_without_indexes(submission, tmp_path, capsys):
    (tmp_path / "empty").mkdir()
    assert checker.main([str(submission), "--index", str(tmp_path / "empty")]) == 1
    assert "no index manifest" in capsys.readouterr().out
    with pytest.raises(SubmissionError):
        checker.read_indexes(tmp_path / "empty")


def test_files_that_were_inspected_when_written_are_not_read_again(submission, expected):
    files = checker.expected_files(expected)
    known = {name: checker.inspect_file(submission, file) for name, file in files.items()}
    (submission / MAP).write_bytes(b"no longer a map")
    unread = []
    report = check_submission(submission, expected, lambda function, items, _: unread.extend(items) or [], known)
    assert not unread
    assert report.verdict == "accepted"
    partly = {name: fact for name, fact in known.items() if name != MAP}
    assert broken(check_submission(submission, expected, sequentially, partly)) == {"map_format"}
