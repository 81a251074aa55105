"""Jobs that an edit makes run again: the digests of all of them before and after it, in a copy of the sources."""

import shutil

import pytest
from tests.workflow.project import ROOT

from seamark.planning import code_digest as module
from seamark.registry import DETECTORS
from seamark.weights.finding import WeightsSource


def weights(file):
    return (WeightsSource(file=file, licence="", origin="", page="", sha256="0"),)


LITE0, DINOV2, RESNET = map(weights, ("efficientnet-lite0-57934424.pth", "dinov2_vitb14.pth", "resnet50-0676ba61.pth"))
CACHED = ("code_digest", "_module_path", "_other_files")
OF_ONE_FILE = ("_source",)
"""What the module keeps of a file once it has read it; here, for as long as the file stays the same."""

SINGLE = {path.stem for path in (ROOT / "stages").glob("*.py")} - {"train", "infer", "plan", "verify"}
"""Stages with one kind of jobs; plan runs in every call, and verify makes nothing."""
JOBS = {
    **{stage: (stage, (), RESNET if stage == "distill" else ()) for stage in SINGLE},
    **{
        f"{stage} {name}": (stage, (entry.module,), () if name == "efficientad" else LITE0)
        for stage in ("train", "infer")
        for name, entry in DETECTORS.items()
    },
    "train inp_former on dinov2": ("train", (DETECTORS["inp_former"].module,), DINOV2),
}
"""Script, modules named by hand and weights of every kind of jobs."""


def jobs(*names):
    """All kinds of jobs that are called so or begin so."""
    return {job for job in JOBS if any(job == name or job.startswith(f"{name} ") for name in names)}


def of(*detectors):
    return {job for job in jobs("train", "infer") if job.split()[1] in detectors}


TRAINED = jobs("train", "infer")
WITH_LITE0 = TRAINED - of("efficientad") - {"train inp_former on dinov2"}
ROWS = [
    # what people read and what is around a job
    ("src/seamark/running/progress.py", " s left", " seconds left", set()),
    ("src/seamark/running/provenance.py", '"wall_s"', '"seconds"', set()),
    ("src/seamark/running/devices.py", "none is visible", "there is none", set()),
    ("src/seamark/running/job.py", '"done in', '"finished in', set()),
    ("src/seamark/repair.py", '["snakemake", ', '["snakemake"] + [', set()),
    ("src/seamark/errors.py", "class TrainingError(SeamarkError):", "class TrainingError(RuntimeError):", set()),
    ("src/seamark/files/image_checks.py", "convert the file", "make it one of 8 bits", set()),
    ("src/seamark/weights/published.py", "Apache-2.0", "Apache License 2.0", set()),
    ("src/seamark/weights/finding.py", "published at", "to be had at", set()),
    ("src/seamark/learning/loop.py", "resuming after", "going on after", set()),
    ("src/seamark/learning/loop.py", "steps of {", "steps in {", set()),
    ("src/seamark/teachers/distillation.py", "is predicted on held-out crops", "can be predicted", set()),
    ("src/seamark/masks/binarize.py", '"""', '"""Said differently: ', set()),
    ("src/seamark/manifests/masks.py", '"""', '"""Said differently: ', set()),
    ("src/seamark/settings/binarize.py", 'description="', 'description="Said differently: ', set()),
    ("src/seamark/data/layout.py", "MOST_NAME_BYTES = 2", "# Refused in names.\nMOST_NAME_BYTES = 2", set()),
    ("src/seamark/maps/merging.py", "blend: str) -> Float64Array", "blend: object) -> object", set()),
    ("stages/merge.py", '"images merged"', '"maps"', set()),
    # what decides results
    ("src/seamark/settings/seed.py", ">> 1", ">> 2", jobs("train", "distill", "refine")),
    ("src/seamark/learning/batches.py", "zlib.crc32", "zlib.adler32", TRAINED | {"distill"}),
    (
        "src/seamark/tiles/light_variants.py",
        "crc32(category",
        "adler32(category",
        TRAINED | {"crop", "binarize", "verdict", "pack"},
    ),
    ("src/seamark/demo/woven.py", "PITCH_PX = (14.0", "PITCH_PX = (13.0", {"demo"}),
    (
        "src/seamark/data/layout.py",
        "EVERY = 10",
        "EVERY = 9",
        {"index", "inventory", "truth", "distill", "package", "report"},
    ),
    ("src/seamark/detectors/inp_former/network.py", "MLP_RATIO = 4", "MLP_RATIO = 3", of("inp_former")),
    ("src/seamark/detectors/feature_bank.py", "VECTORS = 16", "VECTORS = 8", of("feature_bank")),
    ("src/seamark/detectors/efficientad/winograd.py", "\nimport", "\nNEW = 1\nimport", of("efficientad")),
    ("src/seamark/networks/vision_transformer.py", "_REGISTERS = 4", "_REGISTERS = 5", {"train inp_former on dinov2"}),
    ("src/seamark/networks/efficientnet_lite.py", "_blocks.", "blocks.", WITH_LITE0),
    ("src/seamark/networks/resnet.py", "import torch", "NEW = 1\nimport torch", {"distill"}),
    (
        "src/seamark/networks/reverse_distillation.py",
        "BLOCKS = (3,",
        "BLOCKS = (2,",
        of("urd", "aurd", "aand", "pfadseg"),
    ),
    ("src/seamark/maps/merging.py", "SMALLEST_SIGMA = 0.3", "SMALLEST_SIGMA = 0.4", {"merge"}),
    ("src/seamark/masks/mebin.py", "SCALE = 255.0", "SCALE = 256.0", {"binarize", "pack"}),
    ("src/seamark/masks/grabcut.py", "SURE_DEPTH = 0.9", "SURE_DEPTH = 0.8", {"refine"}),
    ("src/seamark/masks/evidence.py", "CORE_SHARE = 0.5", "CORE_SHARE = 0.3", {"refine"}),
    ("src/seamark/masks/verdict.py", "1 + count - bisect", "count - bisect", {"verdict"}),
    ("src/seamark/evaluation/bootstrap.py", "CONFIDENCE = 0.95", "CONFIDENCE = 0.9", {"evaluate", "comparison"}),
    ("src/seamark/report/templates/report.html.j2", "</h2>", "!</h2>", {"report"}),
    ("src/seamark/report/templates/gallery.css", "cursor: default", "cursor: wait", {"report"}),
    ("src/seamark/report/templates/compare.html.j2", "<h2>Files", "<h2>All files", {"comparison"}),
    ("src/seamark/maps/fusion.py", "TAIL_SHARE = 0.99", "TAIL_SHARE = 0.98", {"fuse", "binarize", "pack"}),
    ("stages/fuse.py", "min(part.cell_px", "max(part.cell_px", {"fuse"}),
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sources")
    for name in ("src", "stages"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
    return folder


def kept_while_unchanged(function):
    found = {}

    def again(path):
        key = path, path.read_bytes()
        if key not in found:
            found[key] = function.__wrapped__(path)
        return found[key]

    return again


def digests(folder):
    for name in CACHED:
        getattr(module, name).cache_clear()
    return {job: module.code_digest(folder / f"stages/{stage}.py", *named) for job, (stage, *named) in JOBS.items()}


@pytest.fixture(scope="module")
def before(folder):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "PACKAGE_ROOT", folder / "src/seamark")
        for name in OF_ONE_FILE:
            patch.setattr(module, name, kept_while_unchanged(getattr(module, name)))
        yield digests(folder)
    for name in CACHED:
        getattr(module, name).cache_clear()


@pytest.mark.parametrize(("file", "old", "new", "again"), ROWS, ids=[f"{row[0]}: {row[1]}" for row in ROWS])
def test_an_edit_runs_again_what_it_can_change(folder, before, file, old, new, again):
    path = folder / file
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))
    try:
        after = digests(folder)
    finally:
        path.write_text(text)
    assert {job for job in JOBS if after[job] != before[job]} == again


def test_other_weights_run_again_what_reads_them():
    script, (published,) = ROOT / "stages/train.py", LITE0
    one, relicensed, another = (
        module.code_digest(script, (), (WeightsSource(published.file, licence, "", "", sha256),))
        for licence, sha256 in (("MIT", "1"), ("Apache-2.0", "1"), ("MIT", "2"))
    )
    assert one == relicensed != another
