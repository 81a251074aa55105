"""Examples in docstrings are run, and every function of docs/api.md has one; the Inspector's: tests/workflow."""

import doctest
import importlib
import inspect
import re
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from seamark.manifests.calibration import ImageStatistics, SplitStatistics
from seamark.masks.thresholds import ImageContext
from seamark.submission.archive import submission_files, write_archive
from seamark.submission.expected import MAPS_FOLDER, MASKS_FOLDER

ROOT = Path(__file__).parents[2]
SOURCES = ROOT / "src/seamark"
WITH_A_BUNDLE = "seamark.inspection.inspector"
MODULES = sorted(
    ".".join(path.relative_to(SOURCES.parent).with_suffix("").parts)
    for path in SOURCES.rglob("*.py")
    if ">>>" in path.read_text()
)
PAGE = (ROOT / "docs/api.md").read_text()
DOCUMENTED = {
    module: members.split(", ")
    for module, members in re.findall(r"^::: (seamark[\w.]+)$(?:\n    .*)*?\n +members: \[(.*)\]", PAGE, re.MULTILINE)
}


def normal_statistics():
    """Statistics of five normal images of 10 px each."""
    common = {"pixels": 10, "minimum": 0.0, "mean": 1.0, "std": 0.5}
    peaks = (2.0, 2.25, 2.5, 2.75, 9.0)
    images = tuple(
        ImageStatistics(id=f"{number:03d}", maximum=peak, quantiles={}, **common) for number, peak in enumerate(peaks)
    )
    return SplitStatistics(split="validation", maximum=9.0, quantiles={"0.999": 2.0}, images=images, **common)


@pytest.fixture
def at_hand(tmp_path):
    """What examples take as given: statistics, a map, and a submission whose only mask has a value of 128."""
    normal, folder = normal_statistics(), tmp_path / "demo"
    peaks = {image.id: image.maximum for image in normal.images}
    context = ImageContext(normal, normal, normal.images[0], normal.mean, peaks)
    for kind in (MAPS_FOLDER, MASKS_FOLDER):
        (folder / kind / "nut/test_private").mkdir(parents=True)
    tifffile.imwrite(folder / MAPS_FOLDER / "nut/test_private/000.tiff", np.zeros((6, 8), np.float16), metadata=None)
    Image.fromarray(np.full((6, 8), 128, np.uint8)).save(folder / MASKS_FOLDER / "nut/test_private/000.png")
    archive = tmp_path / "demo.tar.gz"
    write_archive(archive, submission_files(folder))
    scores = np.ones((6, 8), np.float32)
    return {"normal": normal, "context": context, "scores": scores, "folder": folder, "archive": archive}


@pytest.mark.parametrize("module", [name for name in MODULES if name != WITH_A_BUNDLE])
def test_examples_give_what_they_say(module, at_hand):
    result = doctest.testmod(importlib.import_module(module), extraglobs=at_hand)
    assert result.attempted
    assert result.failed == 0


@pytest.mark.parametrize("module", sorted({*DOCUMENTED} - {WITH_A_BUNDLE}))
def test_every_function_of_the_programming_interface_has_an_example(module):
    members = {name: getattr(importlib.import_module(module), name) for name in DOCUMENTED[module]}
    assert not [name for name, one in members.items() if inspect.isroutine(one) and ">>>" not in inspect.getdoc(one)]
