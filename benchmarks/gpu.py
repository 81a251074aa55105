"""Time what a GPU is for, on a CUDA card in at most eight minutes, and hold its results against the CPU's.

Settings are those of the presets, weights are random, photographs are noise of 2448 x 2048 px; all of it goes through
the project's own code. Of each part there is a row per arithmetic, float32 and bfloat16, and, for INP-Former, with the
blocks of its networks compiled by ``torch.compile`` or not:

- scoring by INP-Former on a ViT-B/14 and on a ViT-L/16, by a feature bank and by SuperADD with 100,000 vectors a bank:
  seconds per photograph, from stored tiles to stored scores, as the infer stage makes them;
- a training step of INP-Former on both networks, as the train stage makes it;
- Segment Anything's embedding of a photograph.

Beside the seconds: photographs per second, TFLOP/s and their share of what bfloat16 matrix products reach on the card
in the same process, peak memory, whether two calls give the same bits, and how far results are from the CPU's in
float32, relative to their length, beside what is tolerated; those of compiled rows are held against the card's own,
uncompiled. A row is appended to ``history/gpu.csv`` as soon as it is there; one that cannot be measured says why, and
those behind it have a new process. The exit status is 1 where results are further apart than tolerated. Run: ``python
benchmarks/gpu.py``. ``--toy`` takes small networks and tiles, on a card or without one: it shows that all of it runs,
and its figures mean nothing.
"""

import argparse
import multiprocessing
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np
import torch
from gpu_works import BFLOAT16, FLOAT32, SIZES, THREADS, Part, Size, Work, parts_of, quickest
from history import append, history_of
from runtime_and_memory import peak_mib
from torch._dynamo.exc import FailOnRecompileLimitHit
from torch.utils.flop_counter import FlopCounterMode

from seamark.errors import SeamarkError
from seamark.files.images import Float32Array
from seamark.learning.detector import use_device
from seamark.planning.environment import prepare_environment
from seamark.running.devices import claimed_device, visible_gpus

ROOT = Path(__file__).parents[1]
PRODUCTS = 8
"""Matrix products in a row, behind as many that bring the card to its speed."""
ENDING_S = 20.0
"""Seconds that a process may take to end."""
UNMEASURED = (RuntimeError, OSError, ImportError, SeamarkError, FailOnRecompileLimitHit)
"""What ends a row and not the benchmark: too little memory, no compiler, arithmetic that the card does not have."""
Row = dict[str, object]


def ceiling(device: str, side: int) -> float:
    """Return the TFLOP/s of bfloat16 products of square matrices, of float16 ones on cards that have no bfloat16."""
    has_it = torch.device(device).type == "cpu" or torch.cuda.is_bf16_supported(including_emulation=False)
    kind = torch.bfloat16 if has_it else torch.float16
    one, two = (torch.randn(side, side, device=device).to(kind) for _ in range(2))

    def products() -> None:
        for _ in range(PRODUCTS):
            one @ two

    products()
    return 2e-12 * PRODUCTS * side**3 / quickest(products, device)


def difference(expected: Float32Array, found: Float32Array) -> float:
    """Return the length of the difference relative to that of what was expected."""
    return float(np.linalg.norm((found - expected).ravel()) / np.linalg.norm(expected.ravel()))


def rows_of(part: Part, autocasts: Sequence[str], size: Size, device: str, folder: Path) -> Iterator[Row]:
    """Measure a part in some arithmetics; what is asked of a row is measured before the next one begins."""
    use_device(device)
    torch.set_num_threads(THREADS)
    work, most = part.make(folder), ceiling(device, size.product)
    with FlopCounterMode(display=False) as counter:
        work.check(device, FLOAT32)
    tflop = 1e-12 * work.checks * counter.get_total_flops()
    expected = work.run(device, FLOAT32)[1] if part.compiled else work.check("cpu", FLOAT32)
    if part.compiled:
        torch._dynamo.config.fail_on_recompile_limit_hit = True  # it would go on uncompiled, and say nothing
        for block in work.blocks:
            block.compile(backend=size.compiler)
    for autocast in autocasts:
        if autocast == BFLOAT16 and torch.device(device).type == "cpu":
            yield {"autocast": autocast, "measured": "no: on the CPU arithmetic is always float32"}
            continue
        measured = measure(part, work, device, autocast, expected)
        reached = tflop / float(str(measured["seconds"]))
        yield measured | {"tflop_per_s": reached, "ceiling_tflop_per_s": most, "share": reached / most}


def measure(part: Part, work: Work, device: str, autocast: str, expected: Float32Array) -> Row:
    """Measure one row."""
    if part.compiled:
        torch._dynamo.reset()
    if torch.device(device).type == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device)
    start = time.perf_counter()
    seconds, result = work.run(device, autocast)
    first_s = time.perf_counter() - start
    if part.compiled:
        seconds, again = work.run(device, autocast)
    else:
        result, again = (work.check(device, autocast) for _ in range(2))
    apart, tolerated = difference(expected, result), part.differences[autocast]
    return {
        "autocast": autocast,
        "measured": "yes",
        "unit": work.unit,
        "seconds": seconds,
        "images_per_s": 1 / seconds if work.unit == "photograph" else "",
        "first_call_s": first_s,
        "peak_mib": peak_mib(torch.device(device)),
        "same_bits_twice": "yes" if np.array_equal(result, again) else "no",
        "difference": apart,
        "tolerated": tolerated,
        "agrees": "yes" if apart <= tolerated else "no",
    }


def work_through(sender: "Connection[Row, None]", rows: Sequence[tuple[int, str]], size: Size, device: str) -> None:
    """Send rows, each given by the number of its part and its arithmetic; one that fails is the last one."""
    parts, left = parts_of(size), list(rows)
    try:
        for number in dict.fromkeys(number for number, _ in rows):
            autocasts = [autocast for own, autocast in rows if own == number]
            with tempfile.TemporaryDirectory() as folder:
                for row in rows_of(parts[number], autocasts, size, device, Path(folder)):
                    sender.send(row)
                    left.pop(0)
    except UNMEASURED as error:
        first, *_ = [*str(error).strip().splitlines(), ""]
        sender.send({"autocast": left[0][1], "measured": f"no: {type(error).__name__}: {first}"})


def all_rows(size: Size, device: str, ends: float) -> Iterator[tuple[Part, Row]]:
    """Measure in a process beside this one, and in a new one behind a row that failed, until time is up."""
    parts, context = parts_of(size), multiprocessing.get_context("spawn")
    left = [(number, autocast) for number, part in enumerate(parts) for autocast in part.differences]
    while left and time.monotonic() < ends:
        receiver, sender = context.Pipe(duplex=False)
        process = context.Process(target=work_through, args=(sender, tuple(left), size, device))
        process.start()
        sender.close()
        with suppress(EOFError):
            while left and receiver.poll(max(0.0, ends - time.monotonic())):
                row = receiver.recv()
                yield parts[left.pop(0)[0]], row
        process.join(ENDING_S)
        process.kill()
        process.join()
        if process.exitcode and left and time.monotonic() < ends:
            number, autocast = left.pop(0)
            yield parts[number], {"autocast": autocast, "measured": f"no: its process ended with {process.exitcode}"}
    for number, autocast in left:
        yield parts[number], {"autocast": autocast, "measured": f"no: {size.limit_s:.0f} s were over"}


def card(device: str) -> Row:
    """Return what a device is."""
    if torch.device(device).type == "cpu":
        return {"device": device}
    known = torch.cuda.get_device_properties(device)
    return {"device": known.name, "device_mib": known.total_memory >> 20, "cuda": torch.version.cuda}


def main() -> None:
    """Measure part after part, print, append."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--csv", type=Path, default=history_of(__file__), help="table to append to")
    parser.add_argument("--toy", action="store_true", help="small networks and tiles")
    options = parser.parse_args()
    size, started = SIZES["toy" if options.toy else "full"], time.monotonic()
    wanted = int(bool(visible_gpus()) and torch.cuda.is_available())
    if not wanted and not options.toy:
        parser.error(
            f"torch {torch.__version__} sees no CUDA card here (SEAMARK_GPUS=0 names one that has no device file); "
            "--toy runs without"
        )
    prepare_environment(ROOT)
    apart = []
    with claimed_device(wanted) as device:
        known = {"size": size.name, "weights": "random"} | card(device)
        for part, measured in all_rows(size, device, started + size.limit_s):
            named = {"part": part.name, "network": part.network, "compiled": "yes" if part.compiled else "no"}
            row = named | {name: f"{one:.4g}" if isinstance(one, float) else one for name, one in measured.items()}
            append(options.csv, [known | row])
            print("  ".join(f"{name} {one}" for name, one in row.items()), flush=True)
            apart += [part.name] if row.get("agrees") == "no" else []
    if apart:
        sys.exit(f"further from the CPU's results than tolerated: {', '.join(dict.fromkeys(apart))}")


if __name__ == "__main__":
    main()
