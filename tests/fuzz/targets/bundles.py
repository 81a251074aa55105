"""Bundles: whatever is in one, its digest is right, so that a hostile maker is what they come from."""

import hashlib
import io
import json
import pickle
import random
import tempfile
import zipfile
import zlib
from contextlib import redirect_stdout
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tests.fuzz.mutation import mutated
from tests.fuzz.targets.arrays import Payload
from tests.fuzz.targets.base import Target

from seamark.command import main
from seamark.inspection.bundle_file import DIGEST_BYTES, MANIFEST, write_bundle
from seamark.inspection.inspector import Inspector
from seamark.learning.detector import load_detector_class
from seamark.learning.stored_models import write_model
from seamark.manifests.bundle import BundleManifest
from seamark.registry import DETECTORS

PHOTOGRAPH = np.full((64, 80, 1), 128, np.uint8)
IMAGE: dict[str, Any] = {"pixels": 5120, "minimum": 0.0, "maximum": 1.0, "mean": 0.5, "std": 0.1}
"""Statistics of an image."""


def _bundle(folder: Path, kind: str, **settings: Any) -> bytes:
    """Return a small bundle of one detector."""
    detector_class = load_detector_class(DETECTORS[kind].target)
    block = detector_class.Settings.model_validate({"weights": "random", **settings})
    detector = detector_class(block, (64, 64), 1)
    if kind == "feature_bank":
        detector.bank = torch.rand(8, 112)
    model = folder / "model.safetensors"
    write_model(model, detector, block)
    quantiles = {f"{q:g}": q for q in (0.5, 0.9, 0.95, 0.98, 0.99, 0.995, 0.999, 0.9999)}
    images = [IMAGE | {"id": f"{number}", "quantiles": quantiles} for number in range(3)]
    manifest = BundleManifest.model_validate(
        {
            "run": "fuzzed",
            "category": "bolt",
            "channels": 1,
            "train_photographs": 3,
            "members": [
                {
                    "name": "one",
                    "type": kind,
                    "settings": block.model_dump(mode="json"),
                    "grid": {"layout": "even", "window_px": 64, "input_px": 64},
                    "frozen": None,
                    "scaling": {"weight": 1.0},
                }
            ],
            "merge": {},
            "fuse": {"members": ["one"]},
            "binarize": {"peaks": {"enabled": True}, "extent": {"enabled": True}, "mean_std": {"enabled": False}},
            "refine": {"method": "grabcut"},
            "verdict": {"gate": True},
            "normal": {
                "statistics": IMAGE | {"split": "validation", "quantiles": quantiles, "images": images},
                "base": 0.4,
                "peaks": [{"split": "validation", "id": image["id"], "score": 0.9} for image in images],
                "lights": ["regular"],
            },
            "least_evidence": 0.5,
            "code": "0",
            "versions": {},
        }
    )
    path = folder / "x.seamark"
    write_bundle(path, manifest, {"models/one.safetensors": model})
    return path.read_bytes()


def signed(content: bytes) -> bytes:
    """Return a bundle with the digest that its bytes have."""
    body = content[:-DIGEST_BYTES]
    return body + hashlib.sha256(body).hexdigest().encode()


def repacked(content: bytes, name: str, part: bytes) -> bytes:
    """Return a bundle with another content of one of its files, signed anew."""
    stream = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as old, zipfile.ZipFile(stream, "w") as new:
        for member in old.infolist():
            new.writestr(member, part if member.filename == name else old.read(member))
        new.comment = b"0" * DIGEST_BYTES
    return signed(stream.getvalue())


def seeds() -> list[bytes]:
    """Bundles that are right, and hostile ones."""
    with tempfile.TemporaryDirectory() as folder:
        bank = _bundle(Path(folder), "feature_bank", backbone="efficientnet_lite0", layers=[3], bank_size=8)
        plain = _bundle(Path(folder), "constant")
    told = json.loads(zipfile.ZipFile(io.BytesIO(plain)).read(MANIFEST))
    lies: list[dict[str, Any]] = [
        {"members": [told["members"][0] | {"type": "os:system"}]},
        {"members": [told["members"][0] | {"settings": {"weights": "/etc/passwd"}}]},
        {"members": [told["members"][0] | {"grid": {"window_px": 1, "overlap": 0.0, "input_px": 4096}}]},
        {"members": [told["members"][0] | {"name": "../../x"}], "fuse": {"members": ["../../x"]}},
        {"merge": {"smooth_sigma_px": 200.0, "scale": 1e-300}},
        {"normal": told["normal"] | {"statistics": told["normal"]["statistics"] | {"images": [], "quantiles": {}}}},
    ]
    hostile = [repacked(plain, MANIFEST, json.dumps(told | lie).encode()) for lie in lies]
    bomb = io.BytesIO()
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(MANIFEST, bytes(1 << 26))
        archive.comment = b"0" * DIGEST_BYTES

    return [
        plain,
        bank,
        *hostile,
        signed(bomb.getvalue()),
        repacked(plain, "models/one.safetensors", pickle.dumps(Payload())),
    ]


def read(content: bytes, folder: Path) -> None:
    """Load and judge a photograph; a changed manifest or model within is what half of the inputs become."""
    path = folder / "x.seamark"
    tempfile.tempdir = str(folder)
    path.write_bytes(_changed_within(signed(content)))
    with redirect_stdout(io.StringIO()):
        main(["show", str(path)])
    Inspector.load(path)(PHOTOGRAPH)


def _changed_within(content: bytes) -> bytes:
    """Return a bundle of which, by the bytes given, nothing, a value of its manifest or its model is changed."""
    drawn = random.Random(content)
    if drawn.random() < 0.2:
        return content
    base = content if zipfile.is_zipfile(io.BytesIO(content)) and drawn.random() < 0.5 else drawn.choice(_sound())
    try:
        with zipfile.ZipFile(io.BytesIO(base)) as archive:
            name = drawn.choice(archive.namelist())
            part = archive.read(name)
        if name == MANIFEST and drawn.random() < 0.8:
            return repacked(base, name, json.dumps(_changed(json.loads(part), drawn)).encode())
        return repacked(base, name, mutated(part, [], drawn))
    except (
        zipfile.BadZipFile,
        OSError,
        ValueError,
        LookupError,
        NotImplementedError,
        RuntimeError,
        EOFError,
        zlib.error,
    ):
        return content


@cache
def _sound() -> list[bytes]:
    return seeds()[:2]


def _changed(value: Any, drawn: random.Random) -> Any:
    """Return JSON with one value at any depth changed or left out."""
    if isinstance(value, dict | list) and value and drawn.random() < 0.9:
        places = list(value) if isinstance(value, dict) else list(range(len(value)))
        place = drawn.choice(places)
        copy = dict(value) if isinstance(value, dict) else list(value)
        if drawn.random() < 0.1:
            del copy[place]
        else:
            copy[place] = _changed(value[place], drawn)
        return copy
    return drawn.choice([0, -1, 1, 1e308, 1 << 40, "", "../x", "none", None, [], {}, True, [1, 2], 0.5, 4096, "random"])


TARGETS = {"bundle": Target(seeds, read, memory_mb=1500)}
