"""Snakemake's command line in a process forked off one that has imported Snakemake, which halves a dry run."""

import multiprocessing
import os
import runpy
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

SERVER = multiprocessing.get_context("forkserver")
SERVER.set_forkserver_preload(["snakemake.cli", "snakemake.persistence", "snakemake.report"])
STREAMS = ("stdout", "stderr")


def work(arguments, folder, environment, texts):
    for number, name in enumerate(STREAMS, start=1):
        os.dup2(os.open(texts / name, os.O_CREAT | os.O_WRONLY | os.O_APPEND), number)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    sys.argv = ["snakemake", *arguments]
    runpy.run_module("snakemake", run_name="__main__")


def snakemake(arguments, folder, environment):
    """Return what ``python -m snakemake`` with these arguments ends with."""
    with TemporaryDirectory() as texts:
        process = SERVER.Process(target=work, args=(arguments, folder, environment, Path(texts)))
        process.start()
        process.join()
        said = [(Path(texts) / name).read_text() for name in STREAMS]
    return subprocess.CompletedProcess(arguments, process.exitcode, *said)
