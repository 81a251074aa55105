"""Index, truth, maps and masks of two categories on disk: what evaluate and package read."""

import runpy
from pathlib import Path

import numpy as np
from tests.indexes import write_lists
from tests.verdicts import verdict as judged
from tests.verdicts import verdicts

from seamark.files.images import array_digest, write_map, write_mask
from seamark.manifests.base import write_manifest
from seamark.manifests.index import ImageRecord, TruthRecord
from seamark.manifests.maps import MapRecord, MapsManifest
from seamark.manifests.masks import MaskRecord, MasksManifest
from seamark.running.job import Job

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
