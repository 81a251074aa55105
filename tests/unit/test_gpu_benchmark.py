"""The benchmark for a GPU, on the CPU: every part of it runs, and what cannot be measured says why."""

import csv
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from tests.small_sam import build_small_sam

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
ON_THE_CPU = "no: on the CPU arithmetic is always float32"


@pytest.fixture(scope="module")
def gpu():
    """The script, whose modules import one another by their plain names."""
    before, threads = list(sys.path), torch.get_num_threads()
    sys.path.insert(0, str(BENCHMARKS))
    torch.set_num_threads(1)  # of batches, which only a card scores whole, the last bits depend on their number
    import gpu  # noqa: PLC0415

    yield gpu
    sys.path[:] = before
    torch.set_num_threads(threads)


@pytest.mark.parametrize(
    ("name", "bfloat16"),
    [
        ("inp_former scoring", [ON_THE_CPU]),
        ("inp_former training step", [ON_THE_CPU]),
        ("feature_bank scoring", [ON_THE_CPU]),
        ("superadd scoring", []),
        ("sam embedding", []),
    ],
)
def test_a_part_is_measured_and_agrees_with_itself(name, bfloat16, gpu, tmp_path, monkeypatch):
    monkeypatch.setattr("seamark.masks.sam.build_sam", build_small_sam)
    toy = gpu.SIZES["toy"]
    size = replace(toy, vit_b=toy.vit_l, superadd_px=32, bank=100, product=64)
    part = next(part for part in gpu.parts_of(size) if part.name == name)
    row, *others = gpu.rows_of(part, list(part.differences), size, "cpu", tmp_path)
    assert (row["measured"], row["agrees"], row["same_bits_twice"], row["difference"]) == ("yes", "yes", "yes", 0.0)
    assert all(row[name] > 0.0 for name in ("seconds", "first_call_s", "peak_mib", "tflop_per_s", "share"))
    assert [other["measured"] for other in others] == bfloat16


def test_what_comes_too_late_is_not_measured(gpu):
    rows = list(gpu.all_rows(gpu.SIZES["full"], "cuda:0", time.monotonic()))
    assert len(rows) == 21
    assert {row["measured"] for _, row in rows} == {"no: 470 s were over"}


def test_a_row_that_fails_says_why_and_is_the_last_of_its_process(gpu, monkeypatch):
    """Memory is short behind the first row of the second part; the parent goes on behind the one that failed."""
    sent = []

    def rows_of(part, autocasts, *_):
        yield {"autocast": autocasts[0], "measured": "yes"}
        if part.network == size.vit_l.backbone:
            raise torch.OutOfMemoryError("out of memory\nTried to allocate 2 GiB")
        yield from ({"autocast": autocast, "measured": "yes"} for autocast in autocasts[1:])

    size = gpu.SIZES["toy"]
    monkeypatch.setattr(gpu, "rows_of", rows_of)
    left = [(number, autocast) for number in (0, 1, 2) for autocast in ("none", "bfloat16")]
    gpu.work_through(type("Sender", (), {"send": staticmethod(sent.append)}), left, size, "cpu")
    assert [row["measured"] for row in sent] == ["yes"] * 3 + ["no: OutOfMemoryError: out of memory"]
    assert sent[-1]["autocast"] == "bfloat16"


@pytest.mark.slow
def test_the_command_measures_every_row_and_writes_it_down(tmp_path):
    command = [sys.executable, BENCHMARKS / "gpu.py", "--toy", "--csv", tmp_path / "gpu.csv"]
    subprocess.run(command, check=True, cwd=tmp_path)
    with (tmp_path / "gpu.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert {row["measured"] for row in rows if row["autocast"] == "none"} == {"yes"}
    assert {row["agrees"] for row in rows if row["autocast"] == "none"} == {"yes"}
    assert {row["compiled"] for row in rows} == {"yes", "no"}
    assert len(rows) == 20
