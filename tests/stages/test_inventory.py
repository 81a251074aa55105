"""The inventory stage: one line per category, in the terminal, in the manifest and in the report."""

import html
import shutil

import pytest
from tests.indexes import index_category
from tests.stages.small_run import SmallRun, stage
from tests.workflow.project import draw_data

from seamark.errors import DataError
from seamark.manifests.base import read_manifest, write_manifest
from seamark.manifests.inventory import InventoryManifest
from seamark.running.job import Job

LINE = "bolt: train 3, validation 2, test_public 2 (1 good, 1 bad), test_private 2"


@pytest.fixture
def part(tmp_path):
    draw_data(tmp_path)
    shutil.rmtree(tmp_path / "photographs/bolt/test_private_mixed")  # the same photographs as those of test_private
    return tmp_path / "photographs/bolt"


def take_stock(part, rules="none"):
    out, paths = part.parents[1] / "out", []
    for split, index in index_category(part.parent, "bolt").items():
        paths.append(out / f"{split}.json")
        write_manifest(paths[-1], index)
    params = {"root": str(part.parent), "layout": "mvtec_ad_2", "rules": rules}
    outputs = {"manifest": out / "bolt.json"}
    stage("inventory")(Job.for_test("inventory", {"index": paths}, outputs, params, {"category": "bolt"}))
    return read_manifest(outputs["manifest"], InventoryManifest)


def test_what_is_read_and_what_is_passed_over_stand_in_one_line(part, capsys):
    (part / "notes").mkdir()
    shutil.copy(part / "train/good/000_regular.png", part / "notes/overview.png")
    (part / "train/good/readme.txt").touch()
    found = take_stock(part)
    assert found.line == f"{LINE}; passed over: folder notes/, 1 .txt"
    (warning,) = found.warnings
    assert warning.startswith("bolt: folder notes/ (notes/overview.png): not read; ")
    assert capsys.readouterr().err == f"{found.line}\nwarning: {warning}\n"


@pytest.mark.parametrize(
    ("source", "copy", "consequence"),
    [
        (
            "test_public/bad/000_regular.png",
            "train/good/009_regular.png",
            "a bad one among those that the model learns",
        ),
        ("test_public/bad/000_regular.png", "validation/good/009_regular.png", "a bad one among those that the model"),
        ("test_private/000_regular.png", "train/good/009_regular.png", "a test photograph among those that the model"),
        ("train/good/000_regular.png", "validation/good/009_regular.png", "in train and in validation"),
        ("train/good/000_regular.png", "train/good/009_regular.png", "and count as often"),
        ("test_private/000_regular.png", "test_public/good/009_regular.png", "and count as often"),
    ],
)
def test_the_same_photograph_in_several_places_is_a_warning_with_its_names(part, source, copy, consequence):
    shutil.copy(part / source, part / copy)
    (warning,) = take_stock(part).warnings
    assert warning.startswith(f"bolt: 1 photograph(s) stand in several places, {consequence}")
    assert f"bolt/{source}" in warning
    assert f"bolt/{copy}" in warning


def test_rules_of_a_challenge_refuse_that_test_photographs_are_learned_from(part):
    take_stock(part, "vand4")
    shutil.copy(part / "test_private/000_regular.png", part / "train/good/009_regular.png")
    with pytest.raises(DataError, match=r"vand4 forbids to learn from test photographs: .*train/good/009_regular\.png"):
        take_stock(part, "vand4")


def test_the_report_has_the_line(tmp_path):
    run = SmallRun(tmp_path, categories=("grey",), images=2)
    line = read_manifest(run.out / "00_index/grey.json", InventoryManifest).line
    assert line.startswith("grey: ")
    assert line in html.unescape(run.report()[0])
