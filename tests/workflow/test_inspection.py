"""From a finished run to a bundle, and from it to the same maps, masks and verdicts, in Python and by command."""

import copy
import csv
import doctest
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
import zipfile
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import tifffile
import yaml
from PIL import Image
from tests.workflow.project import BUNDLED, ROOT, draw

import seamark.inspection.inspector
from seamark import Inspector
from seamark.command import FAILED, FOUND_BAD, main
from seamark.errors import DataError, ManifestError, WeightsError
from seamark.files.images import read_image, read_map, read_mask
from seamark.inspection.bundle_file import MANIFEST, read_bundle, write_bundle
from seamark.inspection.card import card_lines
from seamark.inspection.folder import HEADER, InspectionFolder, photographs_in
from seamark.manifests.bundle import BundleManifest
from seamark.masks.verdict import marked_peak
from seamark.masks.verdict_table import COLUMNS
from seamark.settings.pixels import DepthSettings, PixelSettings
from seamark.settings.verdict import VerdictSettings

SPLITS = ("test_public", "test_private", "test_private_mixed")


@pytest.fixture(scope="module")
def project(bundled):
    return bundled


@pytest.fixture(scope="module")
def bundle(project):
    return project.out / "85_bundles/bolt.seamark"


@pytest.fixture(scope="module")
def inspector(bundle):
    return Inspector.load(bundle)


def judged(project):
    """Photograph, map and mask files and the verdict of every test image of the run."""
    for split in SPLITS:
        said = json.loads((project.out / f"75_verdicts/bolt/{split}.verdicts.json").read_text())["images"]
        for image in said:
            photograph = project.folder / f"photographs/bolt/{split}/{image['id']}.png"
            fused = project.out / f"45_fused/bolt/{split}/{image['id']}.tiff"
            yield photograph, fused, project.out / f"75_verdicts/bolt/{split}/{image['id']}.png", image


def rows_of(folder):
    with (folder / "verdicts.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert all(tuple(row) == HEADER for row in rows)
    return {row["image"]: row for row in rows}


def test_a_photograph_of_the_run_gets_the_same_map_mask_and_verdict(project, inspector):
    found = list(judged(project))
    with ThreadPoolExecutor(3) as pool:
        inspections = list(pool.map(inspector, [photograph for photograph, *_ in found]))
    for (_, fused, mask, said), inspection in zip(found, inspections, strict=True):
        assert np.array_equal(inspection.map, read_map(fused))
        assert np.array_equal(inspection.mask, read_mask(mask))
        row = inspection.row(said["id"]).model_dump(mode="json")
        assert {**row, "basis": None} == said
        areas = [component.area_px for component in inspection.components]
        assert areas == sorted(areas, reverse=True)
        assert sum(areas) == inspection.mask.sum()
    assert {said["answer"] for *_, said in found} >= {"look", "bad"}


def test_a_bad_photograph_in_which_nothing_is_found_is_marked(project, inspector, monkeypatch):
    photograph, *_ = next(entry for entry in judged(project) if entry[3]["answer"] == "look")
    undecided = inspector(photograph)
    assert (undecided.verdict, undecided.changed, undecided.mask.any()) == ("look", "kept", False)
    strict = VerdictSettings(alpha=undecided.p, benchmark_alpha=undecided.p, gate=True)
    monkeypatch.setattr(inspector, "basis", inspector._normal.basis(strict))
    found = inspector(photograph)
    assert (found.verdict, found.changed) == ("bad", "marked")
    assert np.array_equal(found.mask, marked_peak(found.map, found.mask.shape, inspector.basis.bad.above))


def test_a_folder_gets_the_same_bytes_and_the_same_row(project, bundle, tmp_path, capsys):
    photographs = project.folder / "photographs/bolt/test_private"
    assert main(["inspect", str(bundle), str(photographs), "--out", str(tmp_path)]) == 0
    with (project.out / "90_eval/bolt.verdicts.csv").open(newline="") as stream:
        table = [row for row in csv.DictReader(stream) if row["split"] == "test_private"]
    wanted = {row["image"]: row | {"split": ""} for row in table}
    rows = rows_of(tmp_path)
    assert {image: {name: row[name] for name in COLUMNS} for image, row in rows.items()} == wanted
    for image in wanted:
        for written, made in (
            (f"maps/{image}.tiff", f"45_fused/bolt/test_private/{image}.tiff"),
            (f"masks/{image}.png", f"75_verdicts/bolt/test_private/{image}.png"),
        ):
            assert (tmp_path / written).read_bytes() == (project.out / made).read_bytes()
        assert (tmp_path / f"overlays/{image}.jpg").is_file()
    assert "2 photographs: 1 bad, 1 look" in capsys.readouterr().out
    page = (tmp_path / "index.html").read_text()
    assert page.index("overlays/001_regular.jpg") < page.index("overlays/000_regular.jpg")  # the bad one comes first


def test_large_photographs_are_judged_one_at_a_time(project, inspector, tmp_path, monkeypatch):
    judging, most = [], []

    class Watched(Inspector):
        def __call__(self, image):
            judging.append(image)
            most.append(len(judging))
            time.sleep(0.02)  # long enough for the others to come
            inspection = super().__call__(image)
            judging.pop()
            return inspection

    watched = Watched(inspector.bundle, inspector._members)
    monkeypatch.setattr("seamark.inspection.folder.LARGE_PX", 0)
    photographs = list(photographs_in([project.folder / "photographs/bolt/test_private"], tmp_path))
    rows = list(InspectionFolder(tmp_path, watched, workers=2).inspect(photographs))
    assert len(rows) == len(photographs) >= 2
    assert set(most) == {1}


def test_what_cannot_be_judged_has_a_row_that_says_why(project, bundle, tmp_path):
    photographs, out = tmp_path / "new", tmp_path / "new/out"
    good = project.folder / "photographs/bolt/test_public/good/000_regular.png"
    photographs.mkdir()
    shutil.copy(good, photographs / "=fine.png")
    (photographs / "notes.txt").write_text("no image")
    (photographs / "broken.png").write_bytes(good.read_bytes()[:-40])
    (photographs / "modern.heic").write_bytes(b"")
    Image.fromarray(np.zeros((64, 96, 3), np.uint8)).save(photographs / "coloured.png")
    command = ["inspect", str(bundle), str(photographs), "--out", str(out)]
    assert main([*command, "--fail-on-bad"]) == FOUND_BAD
    rows = rows_of(out)
    notes = {image: row["note"] for image, row in rows.items()}
    assert notes.keys() == {"'=fine", "broken", "modern", "coloured"}
    assert not notes["'=fine"]
    assert "truncated or damaged" in notes["broken"]
    assert "save it as PNG" in notes["modern"]
    assert "the photograph is RGB, those of bolt are grey" in notes["coloured"]
    before = (out / "verdicts.csv").read_bytes()
    assert main(command) == 0  # what lies in the folder of results is not inspected
    assert sorted((out / "verdicts.csv").read_bytes().splitlines()) == sorted(before.splitlines())


def test_files_are_decoded_as_those_of_the_run_were(project, inspector, tmp_path):
    photograph = read_image(project.folder / "photographs/bolt/test_public/bad/000_regular.png")
    assert inspector.manifest.pixels == PixelSettings(orientation="exif")
    camera = PixelSettings(depth=DepthSettings(black=0, white=65535), orientation="exif")
    of_camera = copy.copy(inspector)
    manifest = inspector.manifest.model_copy(update={"pixels": camera})
    of_camera.bundle = inspector.bundle._replace(
        manifest=BundleManifest.model_validate_json(manifest.model_dump_json())
    )
    turned = np.rot90(photograph[:, :, 0].astype(np.uint16) * 257)
    file = tmp_path / "new/x.tif"
    file.parent.mkdir()
    tifffile.imwrite(file, turned, extratags=[(274, 3, 1, 6, True)], photometric="minisblack")
    expected = inspector(photograph).map
    assert np.array_equal(of_camera(file).map, expected)
    assert np.array_equal(of_camera(photograph).map, expected)
    (row,) = InspectionFolder(tmp_path / "out", of_camera).inspect(photographs_in([file], tmp_path / "out"))
    assert not row[-1]
    assert np.array_equal(read_map(tmp_path / "out/maps/x.tiff"), expected)
    assert "decoded with   {" in "\n".join(card_lines(of_camera.bundle))
    with pytest.raises(DataError, match="16 bits per channel, expected 8"):
        inspector(file)


def test_a_changed_photograph_is_judged_again_and_a_torn_row_is_dropped(project, bundle, tmp_path):
    photographs, out = tmp_path / "new", tmp_path / "out"
    shutil.copytree(project.folder / "photographs/bolt/test_private", photographs)
    command = ["inspect", str(bundle), str(photographs), "--out", str(out)]
    main(command)
    rows = rows_of(out)
    table = out / "verdicts.csv"
    table.write_bytes(table.read_bytes()[:-7])
    main(command)
    assert rows_of(out) == rows
    shutil.copy(photographs / "001_regular.png", photographs / "000_regular.png")
    main(command)
    changed = rows_of(out)
    assert changed["001_regular"] == rows["001_regular"]
    assert changed["000_regular"]["score"] == rows["001_regular"]["score"]
    assert (out / "masks/000_regular.png").read_bytes() == (out / "masks/001_regular.png").read_bytes()


def test_a_folder_is_gone_on_with_after_a_kill_and_nothing_is_done_twice(project, bundle, tmp_path):
    photographs, out = tmp_path / "new", tmp_path / "out"
    photographs.mkdir()
    sources = [photograph for photograph, *_ in judged(project)]
    for number in range(60):
        shutil.copy(sources[number % len(sources)], photographs / f"{number:03d}.png")
    command = ["inspect", str(bundle), str(photographs), "--out", str(out)]
    process = subprocess.Popen(
        [sys.executable, "-m", "seamark.command", *command],
        cwd=project.folder,
        env=os.environ | {"PYTHONPATH": str(ROOT / "src")},
        stdout=subprocess.DEVNULL,
    )
    table = out / "verdicts.csv"
    while not table.exists() or table.read_bytes().count(b"\n") < 4:
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    kept = table.read_bytes()
    finished = kept[: kept.rfind(b"\n") + 1]
    assert 4 <= finished.count(b"\n") < 61
    assert main(command) == 0
    assert table.read_bytes().startswith(finished)
    assert len(rows_of(out)) == 60
    assert len(table.read_bytes().splitlines()) == 61


def test_results_of_two_bundles_are_not_mixed(project, bundle, tmp_path, capsys):
    out, other = tmp_path / "out", tmp_path / "other.seamark"
    photograph = str(project.folder / "photographs/bolt/test_private/000_regular.png")
    main(["inspect", str(bundle), photograph, "--out", str(out)])
    found = read_bundle(bundle)
    with zipfile.ZipFile(bundle) as archive:
        archive.extractall(tmp_path / "parts")
    names = [name for name in zipfile.ZipFile(bundle).namelist() if name != MANIFEST]
    write_bundle(
        other, found.manifest.model_copy(update={"run": "later"}), {name: tmp_path / "parts" / name for name in names}
    )
    assert main(["inspect", str(other), photograph, "--out", str(out)]) == FAILED
    assert "inspections with another bundle" in capsys.readouterr().err


def test_a_bundle_has_the_same_bytes_when_it_is_made_again(project, bundle, tmp_path):
    again = project.copy(tmp_path / "again")
    before = bundle.read_bytes()
    (again.out / "85_bundles/bolt.seamark").unlink()
    again.snakemake("bundle")
    assert (again.out / "85_bundles/bolt.seamark").read_bytes() == before
    told = json.loads((again.out / "85_bundles/bolt.json").read_text())
    assert told["sha256"] == read_bundle(bundle).digest


@pytest.mark.parametrize("place", [0, 10, 200, 0.3, 0.6, 0.9, -200, -65, -64, -1])
def test_one_flipped_bit_is_noticed(bundle, tmp_path, place):
    content = bytearray(bundle.read_bytes())
    content[int(place * len(content)) if isinstance(place, float) else place] ^= 1
    (tmp_path / "x.seamark").write_bytes(content)
    with pytest.raises(ManifestError, match=r"x.seamark: its digest is .* copy it again"):
        Inspector.load(tmp_path / "x.seamark")


def test_weights_that_may_not_be_passed_on_are_looked_for_beside_the_bundle(bundle, tmp_path):
    with zipfile.ZipFile(bundle) as archive:
        archive.extractall(tmp_path / "parts")
        files = {name: tmp_path / "parts" / name for name in archive.namelist() if name.startswith("models/")}
    told = read_bundle(bundle).manifest
    frozen = told.members[0].frozen.model_copy(update={"packed": False, "name": "own.pth", "digest": "0" * 64})
    members = tuple(member.model_copy(update={"frozen": frozen}) for member in told.members)
    alone = tmp_path / "alone.seamark"
    write_bundle(alone, told.model_copy(update={"members": members}), files)
    with pytest.raises(WeightsError, match="was trained on 0000"):
        Inspector.load(alone)


@pytest.mark.parametrize(
    ("image", "wrong"),
    [
        (np.zeros((64, 96), np.float32), "float32 of shape"),
        (np.zeros((64, 96, 3), np.uint8), "is RGB, those of bolt are grey"),
        (np.zeros((0, 96), np.uint8), "expected uint8"),
        ("nowhere.png", "nowhere.png: the image is missing"),
    ],
)
def test_what_is_no_photograph_of_the_category_is_refused(inspector, image, wrong):
    with pytest.raises(DataError, match=wrong):
        inspector(image)


def test_settings_that_see_a_whole_split_are_refused_when_a_bundle_is_planned(project, tmp_path):
    other = project.copy(tmp_path / "other")
    other.configure({"binarize": BUNDLED["binarize"] | {"mebin": {"enabled": True}, "evidence_alpha": None}})
    result = other.snakemake("bundle", options=("--dry-run",), check=False)
    assert "no photograph can be judged alone" in result.stdout + result.stderr
    assert "set binarize.mebin.enabled: false" in result.stdout + result.stderr


def test_graphs_beside_a_bundle_give_the_same_masks(project, bundle, inspector, tmp_path, capsys):
    alone = tmp_path / "bolt.seamark"
    shutil.copy(bundle, alone)
    with pytest.raises(ManifestError, match=r"no graphs of bolt.seamark; export them with: seamark export"):
        Inspector.load(alone, runtime="onnxruntime")
    assert main(["export", str(alone), "--to", "onnx"]) == 0
    assert capsys.readouterr().out.split() == [str(tmp_path / f"bolt.onnx/{name}.onnx") for name in ("near", "far")]
    other = Inspector.load(alone, runtime="onnxruntime")
    for photograph, *_ in judged(project):
        wanted, found = inspector(photograph), other(photograph)
        assert np.abs(found.map - wanted.map).max() <= 1e-4 * np.ptp(wanted.map)
        assert np.count_nonzero(found.mask != wanted.mask) <= 1e-4 * wanted.mask.size
    graph = tmp_path / "bolt.onnx/far.onnx"
    graph.write_bytes(graph.read_bytes()[:-1])
    with pytest.raises(ManifestError, match="missing or changed since it was exported"):
        Inspector.load(alone, runtime="onnxruntime")


def test_the_walk_of_the_page_works(tmp_path):
    page = (ROOT / "docs/inspection.md").read_text().replace("transistor", "bolt")
    settings = yaml.safe_load(re.findall(r"```yaml\n(.*?)```", page, re.DOTALL)[0])
    for number in range(12):
        draw(tmp_path / f"parts/bolt/{number:03d}.png", number, defect=False)
    for number in range(3):
        draw(tmp_path / f"tomorrow/{number:03d}.png", 100 + number, defect=number == 1)
    toy = {name: block for name, block in BUNDLED.items() if name != "data"}
    (tmp_path / "parts.yaml").write_text(yaml.safe_dump(toy | settings))
    environment = os.environ | {"PYTHONPATH": str(ROOT / "src"), "SEAMARK_GPUS": ""}
    commands = "".join(re.findall(r"```console\n(.*?)```", page, re.DOTALL)).splitlines()
    assert [command.split()[1] for command in commands] == ["run", "show", "inspect"]
    for command in commands:
        called = [sys.executable, "-m", "seamark.command", *shlex.split(command)[1:]]
        done = subprocess.run(called, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
    rows = rows_of(tmp_path / "inspected")
    assert rows["001"]["answer"] == "bad"
    assert float(rows["001"]["p"]) < min(float(rows[name]["p"]) for name in ("000", "002"))


def test_the_example_runs(project, bundle):
    photograph = read_image(project.folder / "photographs/bolt/test_public/bad/000_regular.png")
    finder, runner = doctest.DocTestFinder(), doctest.DocTestRunner()
    for example in finder.find(
        seamark.inspection.inspector.Inspector, globs={"bundle": bundle, "photograph": photograph}
    ):
        runner.run(example)
    assert (runner.failures, runner.tries > 3) == (0, True)


def test_the_card_says_what_a_bundle_rests_on(bundle, capsys):
    assert main(["show", str(bundle)]) == 0
    text = capsys.readouterr().out
    assert "normal images  6 of 2 photographs (validation_and_variants)" in text
    assert "called bad     at most 0.15" in text
    assert "near (feature_bank)" in text
    assert main(["show", str(bundle.with_suffix(".json"))]) == FAILED


def test_importing_seamark_is_light():
    code = "import sys, seamark; assert 'torch' not in sys.modules and 'numpy' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, env=os.environ | {"PYTHONPATH": str(ROOT / "src")})
