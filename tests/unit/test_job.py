import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from tests.workflow import forked_snakemake

from seamark.running.job import Job
from seamark.settings.merge import MergeSettings
from seamark.settings.seed import job_seed


def job(**changes):
    return Job.for_test(
        "merge", {"tiles": Path("a.json"), "maps": [Path("b"), Path("c")]}, {"manifest": Path("m.json")}, **changes
    )


def test_named_files_and_settings():
    made = job(params={"settings": {"scale": 0.5}})
    assert made.path("tiles") == Path("a.json")
    assert made.paths("maps") == (Path("b"), Path("c"))
    assert made.target("manifest") == Path("m.json")
    assert made.settings(MergeSettings).scale == 0.5


@pytest.mark.parametrize("threads", [1, 3])
def test_map_keeps_the_order(threads):
    assert job(threads=threads).map(lambda item: item * 2, list(range(50)), "numbers") == list(range(0, 100, 2))


def test_a_failing_item_is_named():
    def work(item):
        if item == 7:
            raise ValueError("no")

    with pytest.raises(ValueError, match="no") as caught:
        job(threads=2).map(work, list(range(20)), "numbers")
    assert caught.value.__notes__ == ["while working on 7"]


def test_track_yields_everything():
    assert list(job().track("abc", "letters")) == ["a", "b", "c"]


def test_seeds_differ_by_rule_and_wildcards_and_repeat():
    seeds = {
        job_seed({"seed": 1}, "train", {"category": "a"}),
        job_seed({"seed": 1}, "train", {"category": "b"}),
        job_seed({"seed": 1}, "infer", {"category": "a"}),
        job_seed({"seed": 2}, "train", {"category": "a"}),
    }
    assert len(seeds) == 4
    assert job_seed({}, "train", {"category": "a"}) in seeds
    assert job_seed({}, "distill", {"teacher": "a"}) == job_seed({}, "distill", {"teacher": "b"})
    assert job_seed({"seed": 1}, "train", {"category": "bolt", "detector": "inp_former"}) == 936474554
    assert all(0 <= seed < 2**31 for seed in seeds)


SNAKEFILE = textwrap.dedent("""
    rule work:
        output:
            manifest="{category}.json"
        log:
            "logs/{category}.log"
        params:
            settings={{"scale": 0.5}},
        resources:
            gpu=1
        script:
            "{script}"
""")
SCRIPT = textwrap.dedent("""
    from seamark.errors import DataError
    from seamark.running.job import run

    def main(job):
        if job.wildcards["category"] == "bad":
            raise DataError("image 7: expected grey, found pink; convert it")
        job.target("manifest").write_text(job.device)

    run(main, globals())
""")


@pytest.fixture
def workflow(tmp_path):
    (tmp_path / "work.py").write_text(SCRIPT)
    (tmp_path / "Snakefile").write_text(
        SNAKEFILE.replace("{script}", str(tmp_path / "work.py")).replace("{{", "{").replace("}}", "}")
    )

    def snakemake(*arguments, **environment):
        return forked_snakemake.snakemake(["--cores", "1", *arguments], tmp_path, os.environ | environment)

    return tmp_path, snakemake


def test_a_job_leaves_log_and_provenance(workflow):
    folder, snakemake = workflow
    result = snakemake("good.json", "--resources", "gpu=0")
    assert result.returncode == 0, result.stderr
    assert (folder / "good.json").read_text() == "cpu"
    facts = json.loads((folder / "good.prov.json").read_text())
    assert facts["rule"] == "work"
    assert facts["params"]["settings"] == {"scale": 0.5}
    assert facts["device"] == "cpu"
    assert facts["wall_s"] >= 0
    assert facts["peak_memory_mb"] > 1
    assert facts["command"].endswith("-f good.json")
    assert "done in" in (folder / "logs" / "good.log").read_text()


def test_a_job_with_a_gpu_names_its_device(workflow):
    folder, snakemake = workflow
    assert snakemake("good.json", SEAMARK_GPUS="5").returncode == 0
    assert (folder / "good.json").read_text() == "cuda:5"


def test_an_error_is_framed_without_a_traceback(workflow):
    folder, snakemake = workflow
    result = snakemake("bad.json", "--resources", "gpu=0")
    assert result.returncode != 0
    for text in (result.stderr, (folder / "logs" / "bad.log").read_text()):
        assert "work bad: image 7: expected grey, found pink; convert it" in text
        assert "repeat with: snakemake --cores 1 -f bad.json" in text
    assert "Traceback (most recent call last)" not in (folder / "logs" / "bad.log").read_text()
    assert not (folder / "bad.json").exists()


def debugged(folder, *arguments, says):
    command = [sys.executable, "-m", "seamark.running.debug", *arguments]
    return subprocess.run(
        command,
        cwd=folder,
        input=says,
        capture_output=True,
        text=True,
        env=os.environ | {"TMPDIR": str(folder)},
        check=False,
    )


def test_a_job_runs_again_in_the_debugger_and_leaves_its_outputs_alone(workflow, monkeypatch):
    folder, snakemake = workflow
    monkeypatch.setenv("ATEN_CPU_CAPABILITY", "default")
    snakemake("good.json", "--resources", "gpu=0")
    monkeypatch.delenv("ATEN_CPU_CAPABILITY")
    made = (folder / "good.json").stat()
    says = "p job.label, job.params['settings'], __import__('os').environ['ATEN_CPU_CAPABILITY']\nc\n"
    result = debugged(folder, "good.json", "--break", says=says)
    assert "('work good', {'scale': 0.5}, 'default')" in result.stdout, result.stderr
    (copy,) = folder.glob("seamark-debug-*/good.json")
    assert copy.read_text() == "cpu"
    assert (folder / "good.json").stat() == made
    (folder / "work.py").write_text(SCRIPT.replace('== "bad"', '== "good"'))
    result = debugged(folder, "good.prov.json", says="p job.wildcards['category']\nq\n")
    assert "expected grey, found pink" in result.stderr
    assert "'good'" in result.stdout
    result = debugged(folder, "absent.json", says="")
    assert result.returncode == 1
    assert "absent.prov.json: no provenance of a job" in result.stderr
