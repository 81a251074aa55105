"""The demo stage: pixels first, manifest last."""

import importlib.util
from pathlib import Path

import pytest

from seamark.errors import DataError
from seamark.manifests.base import read_manifest
from seamark.manifests.demo import DemoManifest
from seamark.running.job import Job

COUNTS = ("train", "validation", "public_good", "public_bad", "private_good", "private_bad")
SETTINGS = {"seed": 2, "scale": 0.1, **dict.fromkeys(COUNTS, 1)}


def demo_job(folder, **params):
    values = {"settings": SETTINGS, "root": f"{folder}/demo", "truth_root": f"{folder}/demo_truth", **params}
    return Job.for_test("demo", {}, {"manifest": folder / "demo.json"}, values)


@pytest.fixture(scope="module")
def main():
    path = Path(__file__).parents[2] / "stages" / "demo.py"
    spec = importlib.util.spec_from_file_location("stage_demo", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.main


def test_draws_both_roots_and_writes_the_manifest(tmp_path, main):
    main(demo_job(tmp_path))
    manifest = read_manifest(tmp_path / "demo.json", DemoManifest)
    roots = {"data": tmp_path / "demo", "truth": tmp_path / "demo_truth"}
    recorded = [file for category in manifest.categories for file in category.files]
    assert len(recorded) == 2 * (1 + 1 + 6 + 6 + 6 + 2 + 2 + 4)
    assert all((roots[file.root] / file.file).is_file() for file in recorded)


def test_threads_do_not_change_the_manifest(tmp_path, main):
    main(demo_job(tmp_path))
    once = (tmp_path / "demo.json").read_bytes()
    job = demo_job(tmp_path)
    main(Job(job.rule, job.inputs, job.outputs, job.params, job.wildcards, threads=3))
    assert (tmp_path / "demo.json").read_bytes() == once


def test_a_refused_folder_leaves_no_manifest(tmp_path, main):
    (tmp_path / "demo").mkdir()
    (tmp_path / "demo" / "holiday.jpg").write_bytes(b"precious")
    with pytest.raises(DataError, match="not empty"):
        main(demo_job(tmp_path))
    assert not (tmp_path / "demo.json").exists()
