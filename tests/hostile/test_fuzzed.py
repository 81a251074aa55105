"""A moment of fuzzing in every run of the tests; ``python -m tests.fuzz`` does it for as long as one likes."""

import random
import subprocess
import sys
from contextlib import suppress
from functools import cache
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.fuzz.mutation import mutated
from tests.fuzz.targets import MODULES, load

from seamark.errors import SeamarkError

ROOT = Path(__file__).parents[2]


@cache
def seeds(name):
    return load(name).seeds()


@pytest.mark.parametrize("name", MODULES)
@settings(max_examples=8, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck))
@given(number=st.integers(0, 2**32))
def test_whatever_the_input_it_is_read_or_refused(name, tmp_path_factory, number):
    drawn = random.Random(number)
    content = mutated(drawn.choice(seeds(name)), seeds(name), drawn)
    with suppress(SeamarkError):
        load(name).run(content, tmp_path_factory.mktemp("input"))


def test_the_command_counts_inputs_and_writes_down_what_it_did(tmp_path):
    command = [sys.executable, "-m", "tests.fuzz", "--minutes", "0.005", "--out", str(tmp_path), "npy"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "0 finding(s)" in done.stdout
    assert (tmp_path / "seed-1" / "summary.json").is_file()
