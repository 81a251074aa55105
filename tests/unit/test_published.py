"""Layouts of published data sets, each drawn as it is unpacked: what is read of it, and what is refused."""

import csv
import json
import shutil

import numpy as np
import pytest
from PIL import Image
from tests.indexes import index_category, truth_of_category

from seamark.data.listing import mask_files
from seamark.data.published import PUBLISHED
from seamark.data.root import survey_root
from seamark.data.survey import survey_category
from seamark.data.truth_masks import truth_digest
from seamark.errors import DataError

SHAPE = (8, 10)


def photograph(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((*SHAPE, 3), 90, np.uint8)).save(path)


def mask(path, **rows):
    """Save a mask whose rows have some values."""
    pixels = np.zeros(SHAPE, np.uint8)
    for value, row in rows.items():
        pixels[row] = int(value.removeprefix("v"))
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


def visa(root):
    rows = []
    for number in range(12):
        photograph(root / f"nut/Data/Images/Normal/{number:04d}.JPG")
        split = "test" if number == 4 else "train"
        rows.append(("nut", split, "normal", f"nut/Data/Images/Normal/{number:04d}.JPG", ""))
    photograph(root / "nut/Data/Images/Anomaly/000.JPG")
    mask(root / "nut/Data/Masks/Anomaly/000.png", v1=0, v3=1)
    rows.append(("nut", "test", "anomaly", "nut/Data/Images/Anomaly/000.JPG", "nut/Data/Masks/Anomaly/000.png"))
    rows.append(("bolt", "train", "normal", "bolt/Data/Images/Normal/0000.JPG", ""))
    (root / "nut/image_anno.csv").write_text("image,label,mask\n")
    (root / "split_csv").mkdir()
    with (root / "split_csv/1cls.csv").open("w", newline="") as stream:
        csv.writer(stream).writerows([("object", "split", "label", "image", "mask"), *rows])


def mvtec_3d_ad(root):
    for place in ("train/good", "validation/good", "test/good", "test/hole"):
        for number in range(2):
            photograph(root / f"nut/{place}/rgb/{number:03d}.png")
            (root / f"nut/{place}/xyz").mkdir(exist_ok=True)
            (root / f"nut/{place}/xyz/{number:03d}.tiff").touch()
            if place != "train/good":
                mask(root / f"nut/{place}/gt/{number:03d}.png", **({"v255": 0} if place == "test/hole" else {}))
    (root / "nut/calibration").mkdir()
    (root / "nut/calibration/camera_parameters.json").touch()


def mvtec_loco(root):
    for place in ("train/good", "validation/good", "test/good", "test/logical_anomalies", "test/structural_anomalies"):
        photograph(root / f"nut/{place}/000.png")
    mask(root / "nut/ground_truth/logical_anomalies/000/000.png", v255=0)
    mask(root / "nut/ground_truth/logical_anomalies/000/001.png", v254=slice(0, 2))
    mask(root / "nut/ground_truth/structural_anomalies/000/000.png", v240=3)
    (root / "nut/defects_config.json").touch()


def real_iad(root):
    images = root / "realiad_1024/nut"
    lists = {"meta": {"prefix": "nut/", "normal_class": "OK"}, "train": [], "test": []}
    for part in range(11):
        for view in ("C1", "C2"):
            file = f"OK/S{part:04d}/nut_{part:04d}_OK_{view}_2023.jpg"
            photograph(images / file)
            row = {"category": "nut", "anomaly_class": "OK", "image_path": file, "mask_path": None}
            lists["test" if part == 3 else "train"].append(row)
    for view, kind in (("C1", "AK"), ("C2", "OK")):
        file = f"NG/AK/S0011/nut_0011_AK_{view}_2023.jpg"
        photograph(images / file)
        lists["test"].append({"anomaly_class": kind, "image_path": file, "mask_path": None})
    lists["test"][-2]["mask_path"] = file.replace("C2", "C1").replace(".jpg", ".png")
    mask(images / lists["test"][-2]["mask_path"], v255=0)
    (root / "realiad_jsons/realiad_jsons").mkdir(parents=True)
    (root / "realiad_jsons/realiad_jsons/nut.json").write_text(json.dumps(lists))


def folder(root):
    for number in range(10):
        photograph(root / f"nut/{number}.jpg")


DRAWN = {
    "visa": (visa, "train 10, validation 1, test_public 2 (1 good, 1 bad); passed over: 1 .csv", {"anomaly/000": 20}),
    "mvtec_3d_ad": (
        mvtec_3d_ad,
        "train 2, validation 2, test_public 4 (2 good, 2 bad); passed over: 1 .json, 2 .png, 8 .tiff",
        {"hole/000": 10, "hole/001": 10},
    ),
    "mvtec_loco": (
        mvtec_loco,
        "train 1, validation 1, test_public 3 (1 good, 2 bad); passed over: 1 .json",
        {"logical_anomalies/000": 20, "structural_anomalies/000": 10},
    ),
    "real_iad": (
        real_iad,
        "train 18, validation 2, test_public 4 (3 good, 1 bad)",
        {"bad/nut_0011_AK_C1_2023": 10},
    ),
    "folder": (folder, "train 9, validation 1", {}),
}


def drawn(layout, folder):
    """Draw a data set and return its data root."""
    DRAWN[layout][0](folder)
    return folder / "realiad_1024" if layout == "real_iad" else folder


@pytest.mark.parametrize("layout", PUBLISHED)
def test_a_data_set_is_read_as_it_is_unpacked(tmp_path, layout):
    root, (_, line, defects) = drawn(layout, tmp_path), DRAWN[layout]
    survey = survey_root(root, layout)
    assert [*survey.folders] == ["nut"]
    survey.require_all()
    assert survey_category(root, root / "nut", layout).line("nut") == f"nut: {line}"
    found = index_category(root, "nut", layout)
    truth = truth_of_category(found, root, None)["test_public"].images
    assert {record.id: record.defect_px for record in truth if record.bad} == defects
    assert all(record.defect_px == 0 for record in truth if not record.bad)
    parts = [{PUBLISHED[layout].part(image.file) for image in found[split].images} for split in ("train", "validation")]
    assert not parts[0] & parts[1], "views of one part are held out together"


def test_masks_of_a_folder_are_one(tmp_path):
    mvtec_loco(tmp_path)
    path = tmp_path / "nut/ground_truth/logical_anomalies/000"
    before = truth_digest(path)
    assert len(mask_files(path)) == 2
    mask(path / "001.png", v254=5)
    assert truth_digest(path) != before


def change(name, old, new):
    return lambda root: (root / name).write_text((root / name).read_text().replace(old, new))


def remove(name):
    return lambda root: (root / name).unlink() if (root / name).is_file() else shutil.rmtree(root / name)


def add(name):
    return lambda root: photograph(root / name)


CSV, JSON = "split_csv/1cls.csv", "../realiad_jsons/realiad_jsons/nut.json"


@pytest.mark.parametrize(
    ("layout", "spoil", "told"),
    [
        ("visa", remove(CSV), r"1cls\.csv: the data set's list of its photographs cannot be read"),
        ("visa", change(CSV, "label", "kind"), "1cls.csv: not the data set's list.*expected object,split,label"),
        ("visa", change(CSV, "nut,train,normal,nut/Data/Images/Normal/0000.JPG,\n", ""), r"1 image .*0000\.JPG"),
        ("visa", remove("nut/Data/Images/Normal/0001.JPG"), r"1 file .*Normal/0001\.JPG.*missing; unpack"),
        ("visa", remove("nut/Data/Masks/Anomaly/000.png"), r"1 file .*Masks/Anomaly/000\.png.*missing; unpack"),
        ("visa", change(CSV, "nut,test,anomaly", "nut,train,anomaly"), "to learn from shows a defect"),
        ("mvtec_3d_ad", remove("nut/validation"), "no image for the split validation; .* validation/good/rgb/"),
        ("mvtec_3d_ad", remove("nut/test/hole/gt/001.png"), r"1 file \(test/hole/gt/001\.png\): missing"),
        ("mvtec_3d_ad", add("nut/test/hole/001.png"), r"1 image \(test/hole/001\.png\): not read in this layout"),
        ("mvtec_loco", add("nut/test/scratch/001.png"), r"1 image \(test/scratch/001\.png\): not read in this layout"),
        (
            "mvtec_loco",
            remove("nut/ground_truth/logical_anomalies/000"),
            r"1 file \(ground_truth/logical_anomalies/000",
        ),
        ("mvtec_loco", remove("nut/ground_truth/structural_anomalies/000/000.png"), r"1 file .*structural.*missing"),
        ("real_iad", remove(JSON), r"realiad_jsons/nut\.json: the data set's list .* cannot be read"),
        ("real_iad", change(JSON, "mask_path", "mask"), r"nut\.json: not the data set's list .*mask_path"),
        ("real_iad", change(JSON, "AK_C1_2023.jpg", "AK_C9_2023.jpg"), r"1 file .*missing(.|\n)*1 image .*AK_C1"),
        ("real_iad", remove("nut/OK/S0010"), "2 files .*missing"),
        ("folder", remove("nut/3.jpg"), "every 10th of it is held out: expected at least 10 there, found 9"),
        ("folder", add("nut/more/3.jpg"), r"1 image \(more/3\.jpg\): not read in this layout"),
        ("folder", lambda root: (root / "nut/a.heic").touch(), r"1 image \(a\.heic\): not read .* convert it to PNG"),
    ],
)
def test_what_would_vanish_is_an_error(tmp_path, layout, spoil, told):
    root = drawn(layout, tmp_path)
    spoil(root)
    with pytest.raises(DataError, match=told):
        survey_category(root, root / "nut", layout)


@pytest.mark.parametrize(
    ("layout", "told"), [(name, f"set data.layout to .*{name}") for name in ("visa", "real_iad", "folder")]
)
def test_the_default_layout_names_the_one_that_fits(tmp_path, layout, told):
    with pytest.raises(DataError, match=told):
        survey_root(drawn(layout, tmp_path), "mvtec_ad_2")


def test_a_category_names_the_layout_that_fits(tmp_path):
    mvtec_3d_ad(tmp_path)
    for layout in ("mvtec_ad_2", "mvtec_ad"):
        with pytest.raises(DataError, match=r"set data\.layout: mvtec_3d_ad"):
            survey_category(tmp_path, tmp_path / "nut", layout)
