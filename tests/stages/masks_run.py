"""The four stages from fused maps to final masks, run on maps of one category that are made by hand."""

import importlib.util
from pathlib import Path

import cv2
import numpy as np
from PIL import Image
from tests.indexes import write_lists

from seamark.files.atomic import file_digest
from seamark.files.images import array_digest, read_map, write_map
from seamark.manifests.base import read_manifest, write_manifest
from seamark.manifests.index import ImageRecord
from seamark.manifests.maps import MapRecord, MapsManifest
from seamark.manifests.masks import MasksManifest
from seamark.manifests.verdict import VerdictManifest
from seamark.maps.stored import save_map
from seamark.running.job import Job

STAGES = Path(__file__).parents[2] / "stages"
SPLITS = {
    "validation": ("good/000_regular", "good/001_regular"),
    "test_public": ("bad/000_regular", "good/001_regular"),
}
SHAPE = (60, 80)


def stage(name):
    spec = importlib.util.spec_from_file_location(f"stage_{name}", STAGES / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.main


def draw(image_id, rng):
    """Return a photograph and its map at half size; ids below ``bad`` have a bright defect."""
    truth = np.zeros(SHAPE, np.float32)
    if image_id.startswith("bad"):
        cv2.circle(truth, (40, 30), 7, 1.0, -1)
    photograph = np.clip(90 + 90 * truth + rng.normal(0, 5, SHAPE), 0, 255).astype(np.uint8)
    heat = cv2.GaussianBlur(truth, (0, 0), 5) + rng.normal(0, 0.02, SHAPE)
    return photograph, cv2.resize(heat.astype(np.float32), (40, 30), interpolation=cv2.INTER_AREA)


def write_tree(tmp_path):
    """Write the index, the photographs and the fused maps of one category below a folder, and return it."""
    rng = np.random.default_rng(0)
    images = []
    for split, ids in SPLITS.items():
        records = []
        for image_id in ids:
            photograph, scores = draw(image_id, rng)
            file = f"rice/{split}/{image_id}.png"
            (tmp_path / "data" / file).parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(photograph).save(tmp_path / "data" / file)
            facts = {"width": 80, "height": 60, "channels": 1, "sha256": file_digest(tmp_path / "data" / file)}
            label, light = image_id[: image_id.index("/")], "regular"
            masks = {"mask": None}
            images.append(ImageRecord(id=image_id, file=file, split=split, label=label, light=light, **facts, **masks))
            target = tmp_path / "fused" / split / f"{image_id}.tiff"
            target.parent.mkdir(parents=True, exist_ok=True)
            write_map(target, scores)
            sizes = {"image_width": 80, "image_height": 60, "map_width": 40, "map_height": 30}
            extent = {"minimum": float(scores.min()), "maximum": float(scores.max()), "mean": float(scores.mean())}
            file, digest = f"{split}/{image_id}.tiff", array_digest(scores)
            records.append(MapRecord(id=image_id, file=file, sha256=digest, **sizes, **extent))
        maps = MapsManifest(detector="bank", category="rice", split=split, maps=tuple(records))
        write_manifest(tmp_path / "fused" / f"{split}.json", maps)
    write_lists(tmp_path / "index", "rice", images)
    return tmp_path


def calibrate(tree, threads=1, out="calibration"):
    for split in SPLITS:
        outputs = {"manifest": tree / out / f"{split}.json", "histogram": tree / out / f"{split}.npy"}
        inputs = {"maps": tree / "fused" / f"{split}.json"}
        stage("calibrate")(Job.for_test("calibrate", inputs, outputs, {"settings": {}}, threads=threads))


def binarize_job(tree, settings=None, split="test_public", threads=1, out="coarse", normal_maps=()):
    inputs = {"maps": tree / "fused" / f"{split}.json", "calibration": tree / "calibration" / f"{split}.json"}
    inputs |= {"normal": tree / "calibration" / "validation.json", "normal_maps": normal_maps}
    outputs = {"manifest": tree / out / f"{split}.json"}
    return Job.for_test("binarize", inputs, outputs, {"settings": settings or {}}, threads=threads)


def refine_job(tree, settings=None, split="test_public", threads=1, out="refined"):
    inputs = {"index": tree / "index" / "rice" / f"{split}.json", "masks": tree / "coarse" / f"{split}.json"}
    inputs["maps"] = tree / "fused" / f"{split}.json"
    params = {"settings": settings or {}, "root": str(tree / "data")}
    return Job.for_test("refine", inputs, {"manifest": tree / out / f"{split}.json"}, params, threads=threads)


def scale_map(tree, split, image_id, factor):
    """Multiply the fused map of one image."""
    path = tree / "fused" / f"{split}.json"
    maps = read_manifest(path, MapsManifest)
    scores = read_map(path.with_suffix("") / f"{image_id}.tiff") * np.float32(factor)
    record = save_map(path.with_suffix(""), split, image_id, scores, SHAPE)
    records = tuple(record if old.id == image_id else old for old in maps.maps)
    write_manifest(path, maps.model_copy(update={"maps": records}))
    return record


def judge(tree, gate, split="test_public", threads=1, refined=(), rates=(), **binarize):
    """Run the stages from coarse masks to verdicts, with changed refined masks; return both manifests."""
    settings = {"mean_std": {"k": 3.0}} | binarize
    stage("binarize")(binarize_job(tree, settings, split))
    stage("refine")(refine_job(tree, {"method": "none"}, split))
    inputs = {"maps": tree / "fused" / f"{split}.json", "masks": tree / "refined" / f"{split}.json"}
    masks = read_manifest(inputs["masks"], MasksManifest)
    write_manifest(inputs["masks"], masks.model_copy(update=dict(refined)))
    inputs |= {"calibration": tree / "calibration" / f"{split}.json", "normal": tree / "calibration/validation.json"}
    ends = {"manifest": ".json", "verdicts": ".verdicts.json"}
    outputs = {name: tree / "judged" / f"{split}{end}" for name, end in ends.items()}
    params = {"settings": {"gate": gate} | dict(rates), "binarize": settings}
    stage("verdict")(Job.for_test("verdict", inputs, outputs, params, threads=threads))
    masks = read_manifest(outputs["manifest"], MasksManifest)
    return masks, read_manifest(outputs["verdicts"], VerdictManifest)
