"""The same seed on two processors: one is simulated by a library that answers the instruction CPUID in its place."""

import json
import os
import platform
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from tests.workflow.project import CONFIG, draw_data

from seamark.errors import ConfigError
from seamark.planning import environment as module
from seamark.planning.environment import pin_loops
from seamark.planning.plan import Plan
from seamark.running.processor import FREE, NEEDED, PINNED, PINNED_WITH_AVX512, loops, processor_facts

ROOT = Path(__file__).parents[2]
CANNOT_TRAP = 77


@pytest.fixture(scope="module")
def deceiver(tmp_path_factory):
    """The library, where it can be compiled and this machine is one that it can make another of."""
    instructions = processor_facts()[1]
    if platform.machine() != "x86_64" or not {*NEEDED, "avx512f"} <= {*instructions}:
        pytest.skip("only a processor with AVX-512 has more than one kind of loops to be compared")
    if not (compiler := shutil.which("cc") or shutil.which("gcc")):
        pytest.skip("no C compiler for the library that simulates another processor")
    library = tmp_path_factory.mktemp("processors") / "another_processor.so"
    source = Path(__file__).with_name("another_processor.c")
    subprocess.run([compiler, "-O1", "-shared", "-fPIC", "-o", library, source], check=True)
    probe = {"LD_PRELOAD": str(library), "SEAMARK_PROCESSOR": "intel"}
    if subprocess.run(["/bin/true"], env=probe, check=False).returncode == CANNOT_TRAP:
        pytest.skip("this machine cannot let CPUID trap")
    return library


@pytest.fixture
def unpinned(monkeypatch):
    for name in (*PINNED, *PINNED_WITH_AVX512, *FREE, "GLIBC_TUNABLES"):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)


def result(surroundings):
    """What a process with these variables trains and scores, by name."""
    command = [sys.executable, "-m", "tests.processors.small_result", "inp_former", "feature_bank"]
    paths = {"PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "src")])}
    made = subprocess.run(command, env=surroundings | paths, capture_output=True, text=True, check=True)
    return json.loads(made.stdout)


def test_two_processors_give_the_same_bytes_with_the_setting_and_others_without(deceiver, unpinned):
    free = dict(os.environ)
    pin_loops("any_cpu")
    other = {"LD_PRELOAD": str(deceiver), "SEAMARK_PROCESSOR": "amd"}
    surroundings = [free, free | other, dict(os.environ), os.environ | other]
    with ThreadPoolExecutor(2) as pool:
        here, there, pinned_here, pinned_there = pool.map(result, surroundings)
    assert pinned_here == pinned_there
    differing = {name for name in here if here[name] != there[name]}
    assert {"inp_former: scores", "inp_former: map"} <= differing  # a bank's distances no loop changes


def test_loops_are_named_for_all_jobs_and_other_wishes_told(unpinned, monkeypatch):
    monkeypatch.setattr(module, "processor_facts", lambda: ("a processor", ("fma", "avx2")))
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", "SSE41")
    monkeypatch.setenv("MKL_ENABLE_INSTRUCTIONS", "SSE4_2")
    monkeypatch.setenv("GLIBC_TUNABLES", "glibc.cpu.hwcaps=-AVX2:glibc.malloc.check=1")
    assert pin_loops("this_cpu") == []
    assert os.environ["ONEDNN_MAX_CPU_ISA"] == "SSE41"
    told = pin_loops("any_cpu")
    assert {name: os.environ.get(name) for name in PINNED} == dict(PINNED)
    assert "MKL_ENABLE_INSTRUCTIONS" not in os.environ
    assert "hwcaps" not in os.environ["GLIBC_TUNABLES"]
    assert [line.split("jobs have ")[1].split("=")[0] for line in told] == [
        "MKL_ENABLE_INSTRUCTIONS",
        "ONEDNN_MAX_CPU_ISA",
        "GLIBC_TUNABLES",
    ]
    assert pin_loops("any_cpu") == []


@pytest.mark.parametrize(("instructions", "missing"), [(("avx",), "avx2 and fma"), (("asimd",), "avx2 and fma")])
def test_a_processor_without_these_loops_is_refused(unpinned, monkeypatch, instructions, missing):
    monkeypatch.setattr(module, "processor_facts", lambda: ("Old One", instructions))
    with pytest.raises(ConfigError, match=f"reproducible: any_cpu needs .* and Old One lacks {missing}; run on"):
        pin_loops("any_cpu")


@pytest.mark.parametrize("setting", ["this_cpu", "any_cpu"])
def test_provenance_tells_processor_and_loops(unpinned, setting):
    pin_loops(setting)
    facts = loops()
    assert facts["reproducible"] == setting
    assert bool(facts["variables"]) == (setting == "any_cpu")
    assert facts["processor"]
    assert set(NEEDED) <= set(facts["instructions"])


def test_the_setting_makes_everything_anew_and_no_variation_differs_in_it(tmp_path, monkeypatch):
    draw_data(tmp_path)
    monkeypatch.chdir(tmp_path)
    free, pinned = (Plan(CONFIG | {"reproducible": setting}, ROOT).expected() for setting in ("this_cpu", "any_cpu"))
    assert Plan(CONFIG, ROOT).expected() == free
    assert free.keys() == pinned.keys()
    assert not [path for path in free if free[path]["code"] == pinned[path]["code"]]
    with pytest.raises(ConfigError, match="reproducible"):
        Plan(CONFIG | {"ablate": {"pinned": {"reproducible": "any_cpu"}}}, ROOT)
