"""The runner: what every stage script gets, and what happens around its ``main``."""

import fcntl
import json
import logging
import os
import sys
import tempfile
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol, TypeVar

from seamark.errors import SeamarkError
from seamark.files.atomic import atomic_write
from seamark.repair import snakemake_command
from seamark.running.devices import claimed_device
from seamark.running.file_records import recorded
from seamark.running.progress import DISPLAY, Progress, write_terminal
from seamark.running.provenance import Stopwatch, provenance
from seamark.settings.base import Settings
from seamark.settings.seed import job_seed

Item = TypeVar("Item")
Result = TypeVar("Result")
AnySettings = TypeVar("AnySettings", bound=Settings)

LOG = logging.getLogger("seamark")
STOPPED = 130
"""Exit status of a job that Ctrl-C has stopped."""
NOTHING_LOST = "nothing is lost: what other jobs and earlier runs made stays, and the same command goes on"


class SnakemakeScript(Protocol):
    """What Snakemake puts into a script's namespace."""

    input: Any
    output: Any
    params: Any
    wildcards: Any
    resources: Any
    log: Any
    threads: int
    rule: str


@dataclass(frozen=True)
class Job:
    """One job: its named inputs and outputs, its resolved settings and the means to work on many items.

    Parameters
    ----------
    rule : str
        Name of the rule.
    inputs : mapping of str to tuple of Path
        Files by input name.
    outputs : mapping of str to Path
        Declared files by output name.
    params : mapping
        The rule's params: ``settings`` is the resolved block of the stage, ``code`` the digest of the code.
    wildcards : mapping of str to str
        Category, split, detector, grid, as far as the rule has them.
    threads : int
        Threads the job may use; results never depend on it.
    device : str
        ``cpu`` or ``cuda:<index>``.
    """

    rule: str
    inputs: Mapping[str, tuple[Path, ...]]
    outputs: Mapping[str, Path]
    params: Mapping[str, Any] = field(default_factory=dict)
    wildcards: Mapping[str, str] = field(default_factory=dict)
    threads: int = 1
    device: str = "cpu"

    @classmethod
    def for_test(  # noqa: PLR0917 (as Snakemake names them)
        cls,
        rule: str,
        inputs: Mapping[str, Path | Sequence[Path]],
        outputs: Mapping[str, Path],
        params: Mapping[str, Any] | None = None,
        wildcards: Mapping[str, str] | None = None,
        threads: int = 1,
    ) -> "Job":
        """Make a job by hand, as tests and notebooks do.

        Parameters
        ----------
        rule : str
            Name of the rule.
        inputs : mapping of str to Path or sequence of Path
            Files by input name.
        outputs : mapping of str to Path
            Files by output name.
        params, wildcards : mapping, optional
            As Snakemake would give them.
        threads : int
            Threads the job may use.

        Returns
        -------
        Job
            A job on the CPU.
        """
        listed = {name: (files,) if isinstance(files, Path) else tuple(files) for name, files in inputs.items()}
        return cls(rule, listed, dict(outputs), dict(params or {}), dict(wildcards or {}), threads)

    def paths(self, name: str) -> tuple[Path, ...]:
        """Return all files of a named input."""
        return self.inputs[name]

    def path(self, name: str) -> Path:
        """Return the only file of a named input."""
        (only,) = self.inputs[name]
        return only

    def target(self, name: str) -> Path:
        """Return a declared output; whatever lies there belongs to an earlier run."""
        return self.outputs[name]

    def settings(self, kind: type[AnySettings], name: str = "settings") -> AnySettings:
        """Return a settings block of the params as an object of its class."""
        return kind.model_validate(self.params[name])

    @property
    def label(self) -> str:
        """The rule and its wildcards in one line."""
        return " ".join([self.rule, *self.wildcards.values()])

    def say(self, *lines: str) -> None:
        """Show lines in the terminal and write them into the log."""
        for line in lines:
            LOG.info("%s", line)
        write_terminal("".join(f"{line}\n" for line in lines))

    def map(self, function: Callable[[Item], Result], items: Sequence[Item], what: str) -> list[Result]:
        """Apply a function to every item, in as many threads as the job has.

        Parameters
        ----------
        function : callable
            Works on one item independently of all others.
        items : sequence
            What to work on.
        what : str
            Plural of the item, for the progress line.

        Returns
        -------
        list
            Results in the order of the items.
        """
        progress = Progress(self.label, len(items), what, LOG)
        results = []
        with ThreadPoolExecutor(max_workers=self.threads) as pool:
            futures = [pool.submit(function, item) for item in items]
            try:
                for item, future in zip(items, futures, strict=True):
                    with _naming(item):
                        results.append(future.result())
                    progress.advance()
            except BaseException as error:
                if isinstance(error, OSError):
                    error.share_done = len(results) / len(items)  # type: ignore[attr-defined]  # for a full disk
                pool.shutdown(cancel_futures=True)
                raise
        return results

    def track(self, items: Iterable[Item], what: str, total: int | None = None) -> Iterator[Item]:
        """Yield every item in turn and count it as done when the next one is asked for.

        Parameters
        ----------
        items : iterable
            What to work on.
        what : str
            Plural of the item, for the progress line.
        total : int, optional
            Number of items, where they have no length.

        Yields
        ------
        item
            The items in order.
        """
        listed = items if total is not None else list(items)
        done = items.start if isinstance(items, range) else 0  # steps that an earlier process has trained
        length = done + len(listed) if isinstance(listed, list) else int(total or 0)
        progress = Progress(self.label, length, what, LOG, done)
        for item in listed:
            yield item
            progress.advance()


class _naming:  # noqa: N801  (reads as a word in the with statement)
    """Add the item to an exception that passes through."""

    def __init__(self, item: object) -> None:
        self.item = item

    def __enter__(self) -> None:
        return

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if error is not None:
            error.add_note(f"while working on {getattr(self.item, 'id', self.item)}")


def run(main: Callable[[Job], None], namespace: Mapping[str, object]) -> None:
    """Run a stage script's ``main`` if Snakemake started the script; do nothing when it was merely imported.

    Around ``main``: a log, a lock against a second writer of the same outputs, a device, provenance beside the
    manifest, and for an error what was expected, where, and the command that repeats the job.

    Parameters
    ----------
    main : callable
        Takes the job.
    namespace : mapping
        ``globals()`` of the script.
    """
    script = namespace.get("snakemake")
    if script is None:
        return
    snakemake: SnakemakeScript = script  # type: ignore[assignment]  # Snakemake ships no types
    job = _job_of(snakemake)
    log_path = Path(str(snakemake.log[0])) if snakemake.log else Path(tempfile.gettempdir()) / f"seamark-{job.rule}.log"
    log_path.parent.mkdir(parents=True, exist_ok=True)
    with log_path.open("a+", encoding="utf-8") as stream:
        _start_log(stream, job)
        _wait_for_other_writer(stream, job)
        stream.truncate(0)
        _run_logged(main, job, snakemake, os.path.relpath(str(namespace.get("__file__", "."))))


def _job_of(snakemake: SnakemakeScript) -> Job:
    params = dict(snakemake.params.items())
    wildcards = {str(name): str(value) for name, value in snakemake.wildcards.items()}
    inputs = {
        str(name): (Path(files),) if isinstance(files, str) else tuple(Path(file) for file in files)
        for name, files in snakemake.input.items()
    }
    outputs = {str(name): Path(str(file)) for name, file in snakemake.output.items()}
    return Job(snakemake.rule, inputs, outputs, params, wildcards, int(snakemake.threads))


def _start_log(stream: Any, job: Job) -> None:
    formatter = logging.Formatter("%(asctime)s %(levelname)s %(message)s", "%Y-%m-%dT%H:%M:%S")
    handler = logging.StreamHandler(stream)
    handler.setFormatter(formatter)
    LOG.setLevel(logging.INFO)
    LOG.addHandler(handler)
    LOG.addHandler(_Terminal(job.label))


class _Terminal(logging.Handler):
    """Shows warnings, and what says ``extra={"shown": True}``, in the terminal as well; failures have their own way."""

    def __init__(self, label: str) -> None:
        super().__init__()
        self.label = label

    def emit(self, record: logging.LogRecord) -> None:
        if record.levelno == logging.WARNING or getattr(record, "shown", False):
            warning = "warning: " if record.levelno == logging.WARNING else ""
            write_terminal(f"{warning}{self.label}: {record.getMessage()}\n")


def _wait_for_other_writer(stream: Any, job: Job) -> None:
    """Wait for a job that outlived a killed Snakemake: two writers of one target would disturb each other."""
    try:
        fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        write_terminal(f"{job.label}: waiting for an earlier process that still writes the same outputs\n")
        fcntl.flock(stream, fcntl.LOCK_EX)


def _run_logged(main: Callable[[Job], None], job: Job, snakemake: SnakemakeScript, script: str) -> None:
    stopwatch = Stopwatch()
    repeat = _repeat_command(job)
    inputs = recorded(path for paths in job.inputs.values() for path in paths if path.suffix == ".json")
    try:
        with claimed_device(int(getattr(snakemake.resources, "gpu", 0) or 0)) as device:
            job = replace(job, device=device)
            LOG.info("%s on %s with %d thread(s)", job.label, job.device, job.threads)
            _limit_library_threads()
            with _written_anew(job.outputs.values()):
                main(job)
        if job.outputs:
            _write_provenance(job, _facts(job, stopwatch, repeat, inputs, script), Path(str(snakemake.log[0])))
    except KeyboardInterrupt:
        LOG.info("stopped")
        sys.exit(STOPPED)
    except Exception as error:
        _log_failure(job, error, repeat, str(snakemake.log[0]) if snakemake.log else "")
        sys.exit(1)
    LOG.info("done in %.1f s wall, %.1f s CPU, peak %.0f MB", *stopwatch.totals())


def _facts(job: Job, stopwatch: Stopwatch, repeat: str, inputs: Mapping[str, object], script: str) -> dict[str, object]:
    facts = provenance(job.params, job.wildcards, stopwatch)
    facts |= {"rule": job.rule, "threads": job.threads, "device": job.device, "command": repeat, "script": script}
    facts["seed"] = job_seed(job.params, job.rule, job.wildcards)
    facts |= {"named_inputs": job.inputs, "named_outputs": job.outputs}
    return facts | {"inputs": inputs, "outputs": recorded(job.outputs.values())}


@contextmanager
def _written_anew(outputs: Collection[Path]) -> Iterator[None]:
    """Notice an output that a stage left as it was: Snakemake does not delete it before, but takes it for new after."""
    before = {path: _version(path) for path in outputs if path.exists()}
    yield
    if kept := [path for path, version in before.items() if path.exists() and _version(path) == version]:
        names = ", ".join(map(str, kept))
        raise SeamarkError(f"{names}: not written by this job; its stage must write every output")


def _version(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_ino, status.st_mtime_ns


def _limit_library_threads() -> None:
    """Keep OpenCV to one thread: a job works on several images at once instead."""
    if "cv2" in sys.modules:
        sys.modules["cv2"].setNumThreads(1)


def _repeat_command(job: Job) -> str:
    if not job.outputs:
        return snakemake_command(job.rule, cores=job.threads)
    return snakemake_command("-f", str(next(iter(job.outputs.values()))), cores=job.threads)


def _log_failure(job: Job, error: Exception, repeat: str, log: str) -> None:
    """Say what failed, why, and what to do; the logger plugin, where there is one, takes these lines from the log."""
    known = isinstance(error, (SeamarkError, OSError))
    why = (
        f"{error}"
        if known
        else f"{type(error).__name__}: {error} (a fault of the program; its traceback is in the log)"
    )
    lines = [
        ", ".join([f"failed: stage {job.rule}", *(f"{name} {value}" for name, value in job.wildcards.items())]),
        f"{job.label}: {why}",
        *getattr(error, "__notes__", []),
        *([f"log: {log}"] if log else []),
        f"repeat with: {repeat}",
        NOTHING_LOST,
    ]
    for line in lines:
        LOG.error("%s", line)
    if not known:
        LOG.info("traceback", exc_info=error)
    if not os.environ.get(DISPLAY):
        write_terminal("\n".join(["", *lines, ""]))


def _write_provenance(job: Job, facts: Mapping[str, object], log_path: Path) -> None:
    manifest = job.outputs.get("manifest")
    path = manifest.with_suffix(".prov.json") if manifest else log_path.with_suffix(".prov.json")
    with atomic_write(path) as draft:
        draft.write_text(json.dumps(facts, indent=1, default=str) + "\n", encoding="utf-8")
