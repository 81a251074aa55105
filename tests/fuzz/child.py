"""Fuzz one target for some processor time: with atheris, guided by coverage, where it is installed."""

import argparse
import importlib
import json
import os
import random
import sys
import time
import warnings
from collections.abc import Callable
from contextlib import nullcontext, suppress
from pathlib import Path
from typing import Any

from tests.fuzz.mutation import mutated

INSTRUMENTED = ["seamark", "PIL", "tifffile", "tarfile"]
"""Packages whose branches guide atheris."""


class Session:
    """Counts executions, keeps the first input of each kind of finding, and ends when the time is over.

    The first input is run once before, so that compiling and importing do not count as its time and memory.
    """

    def __init__(self, target: Any, first: bytes, seconds: float, out: Path) -> None:
        sandbox = importlib.import_module("tests.fuzz.sandbox")  # not before atheris, which instruments the imports
        self.target, self.seconds, self.out = target, seconds, out
        self.findings: dict[str, dict[str, str]] = {}
        self.executions = 0
        (out / "scratch").mkdir(parents=True, exist_ok=True)
        with suppress(ValueError):  # of which errors of Seamark are a kind
            target.run(first, out / "scratch")
        self.sandbox = sandbox.Sandbox(out / "scratch", target.memory_mb)
        self.started = time.process_time()
        self.noted = 0.0

    def one(self, content: bytes) -> None:
        """Run one input."""
        (self.out / "current").write_bytes(content)
        finding = self.sandbox.run(self.target.run, content)
        self.executions += 1
        if finding and finding.where not in self.findings:
            file = self.out / f"finding-{len(self.findings)}"
            file.write_bytes(content)
            self.findings[finding.where] = {"what": finding.what, "where": finding.where, "input": str(file)}
        used = time.process_time() - self.started
        if used - self.noted > 2 or used > self.seconds:
            self.note(used, ended=used > self.seconds)

    def note(self, used: float, *, ended: bool) -> None:
        """Write down what has been done; leave when the time is over."""
        self.noted = used
        facts = {"executions": self.executions, "cpu_s": used, "ended": ended, "findings": list(self.findings.values())}
        (self.out / "result.json").write_text(json.dumps(facts))
        if ended:
            os._exit(0)


def _mutate(session: Session, seeds: list[bytes], seed: int) -> None:
    drawn, corpus = random.Random(seed), list(seeds)
    for content in seeds:
        session.one(content)
    while True:
        session.one(mutated(drawn.choice(corpus), corpus, drawn))


def _guided(session: Session, seeds: list[bytes], seed: int, atheris: Any) -> None:
    corpus = session.out / "seeds"
    corpus.mkdir(exist_ok=True)
    for number, content in enumerate(seeds):
        (corpus / f"{number:03d}").write_bytes(content)
        session.one(content)
    longest = max(map(len, seeds)) * 2 + 100
    options = [
        f"-seed={seed + 1}",
        f"-max_len={longest}",
        "-timeout=0",
        "-rss_limit_mb=0",
        f"-artifact_prefix={session.out}/",
    ]
    atheris.Setup([sys.argv[0], *options, "-verbosity=0", str(corpus)], session.one)
    atheris.Fuzz()


def main() -> None:
    """Fuzz the target that the command line names."""
    parser = argparse.ArgumentParser()
    parser.add_argument("target")
    parser.add_argument("--seconds", type=float, required=True)
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--engine", choices=("auto", "mutation"), default="auto")
    options = parser.parse_args()
    sys.dont_write_bytecode = True
    warnings.simplefilter("ignore")
    try:
        atheris = importlib.import_module("atheris") if options.engine == "auto" else None
    except ImportError:
        atheris = None
    with atheris.instrument_imports(include=INSTRUMENTED) if atheris else nullcontext():
        target = importlib.import_module("tests.fuzz.targets").load(options.target)
        seeds: list[bytes] = target.seeds()
    session = Session(target, seeds[0], options.seconds, options.out.resolve())
    run: Callable[..., None] = _guided if atheris else _mutate
    run(session, seeds, options.seed, *([atheris] if atheris else []))


if __name__ == "__main__":
    main()
