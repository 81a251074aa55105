"""Which edit of the code makes which stages run again: the digests that rules have as a param, on the real sources."""

import shutil

import pytest
from tests.workflow.project import ROOT

from seamark.planning import code_digest as module
from seamark.registry import DETECTORS

WITH_DETECTOR = {"train", "infer"}
NOTHING = set()
TRAININGS = {"distill", *(f"train {name}" for name in DETECTORS)}
OF_DETECTOR = {name: {f"train {name}", f"infer {name}"} for name in DETECTORS}
SRC = "src/seamark"

EDITS = [
    (f"{SRC}/running/progress.py", "s left", "seconds left", NOTHING),
    (f"{SRC}/running/provenance.py", "import ", "import this\nimport ", NOTHING),
    (f"{SRC}/running/devices.py", "nvidia*", "nvidia?", NOTHING),
    (f"{SRC}/running/job.py", "done in %.1f s wall", "took %.1f s wall", NOTHING),
    (f"{SRC}/data/layout.py", "the data root does not exist", "there is no such data root", NOTHING),
    (f"{SRC}/files/image_checks.py", "not a readable image", "no readable image", NOTHING),
    (f"{SRC}/weights/published.py", "Apache-2.0", "MIT", NOTHING),
    (f"{SRC}/learning/loop.py", '"""', '"""In other words: ', NOTHING),
    (f"{SRC}/settings/binarize.py", "drop components smaller", "leave out components smaller", NOTHING),
    ("stages/merge.py", '"""', '"""In other words: ', NOTHING),
    (f"{SRC}/errors.py", '"""', '"""In other words: ', NOTHING),
    (f"{SRC}/report/templates/report.css", "{", "{ ", {"report", "comparison"}),
    (f"{SRC}/maps/merging.py", None, "\nEDITED = 1\n", {"merge"}),
    (f"{SRC}/masks/binarize.py", None, "\nEDITED = 1\n", {"binarize"}),
    (f"{SRC}/maps/fusion.py", None, "\nEDITED = 1\n", {"fuse"}),
    (f"{SRC}/submission/archive.py", None, "\nEDITED = 1\n", {"package"}),
    (f"{SRC}/detectors/inp_former/network.py", None, "\nEDITED = 1\n", OF_DETECTOR["inp_former"]),
    (f"{SRC}/detectors/feature_bank.py", None, "\nEDITED = 1\n", OF_DETECTOR["feature_bank"]),
    (f"{SRC}/learning/loop.py", None, "\nEDITED = 1\n", TRAININGS),
    (f"{SRC}/settings/seeds.py", "rule, named", "named, rule", TRAININGS | {"refine"}),
]


def digests(root, monkeypatch):
    monkeypatch.setattr(module, "PACKAGE_ROOT", root / "src" / "seamark")
    found = {}
    for script in sorted((root / "stages").glob("*.py")):
        if script.stem in WITH_DETECTOR:
            for name, row in DETECTORS.items():
                found[f"{script.stem} {name}"] = module.code_digest(script, (row.module,))
        else:
            found[script.stem] = module.code_digest(script)
    return found


@pytest.fixture(scope="module")
def sources(tmp_path_factory):
    root = tmp_path_factory.mktemp("sources")
    for name in ("src", "stages"):
        shutil.copytree(ROOT / name, root / name, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
    return root


@pytest.fixture(scope="module")
def before(sources):
    with pytest.MonkeyPatch.context() as patch:
        return digests(sources, patch)


@pytest.mark.parametrize(("file", "old", "new", "rerun"), EDITS, ids=[f"{row[0]}: {row[1]!r}" for row in EDITS])
def test_an_edit_reruns_what_it_decides(sources, before, monkeypatch, file, old, new, rerun):
    path = sources / file
    text = path.read_text()
    assert old is None or old in text
    try:
        path.write_text(text + new if old is None else text.replace(old, new, 1))
        after = digests(sources, monkeypatch)
    finally:
        path.write_text(text)
    assert {name for name in before if before[name] != after[name]} == rerun
