"""Limits of every input: it runs no program, writes nowhere else, takes no more memory or time than stated."""

import os
import resource
import shutil
import signal
import sys
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from seamark.errors import SeamarkError

CPU_S, WALL_S = 20, 300
"""Processor and wall time of one input after which it counts as a hang."""
FORBIDDEN = ("subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "os.spawn", "os.fork", "socket.connect")
CHANGING = ("os.remove", "os.rename", "os.mkdir", "os.rmdir", "os.link", "os.symlink", "os.truncate", "shutil.rmtree")
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC


class Hang(BaseException):
    """An input took too long."""


@dataclass(frozen=True)
class Finding:
    """What an input did that it must not do."""

    what: str
    where: str


class Sandbox:
    """Runs inputs one after the other in a folder of their own and notes what they must not do.

    Parameters
    ----------
    folder : Path
        The only place to write to.
    memory_mb : int
        What one input may add to the memory of the process.
    """

    def __init__(self, folder: Path, memory_mb: int) -> None:
        self.folder = folder
        self._broken: list[str] = []
        self._watching = False
        sys.addaudithook(self._audit)
        for number in (signal.SIGPROF, signal.SIGALRM):
            signal.signal(number, self._hung)
        self._added_bytes = memory_mb * 1_000_000

    def run(self, target: Callable[[bytes, Path], None], content: bytes) -> Finding | None:
        """Feed one input; return what is wrong with what it did."""
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)
        self._broken.clear()
        self._watch(True)
        try:
            target(content, self.folder)
        except SeamarkError as error:
            finding = _judged(error)
        except (Exception, Hang) as error:
            finding = Finding(f"{type(error).__name__}: {error}"[:300], _place(error))
        else:
            finding = None
        finally:
            self._watch(False)
        return Finding(self._broken[0], "audit") if self._broken else finding

    def _watch(self, on: bool) -> None:
        self._watching = on
        most = resource.getrlimit(resource.RLIMIT_AS)[1]
        limit = _virtual_bytes() + self._added_bytes if on else most  # what a fuzzer keeps between inputs is its own
        resource.setrlimit(resource.RLIMIT_AS, (limit, most))
        signal.setitimer(signal.ITIMER_PROF, CPU_S if on else 0)
        signal.setitimer(signal.ITIMER_REAL, WALL_S if on else 0)

    def _hung(self, *_: object) -> None:
        raise Hang(f"more than {CPU_S} s of processor time or {WALL_S} s in all")

    def _audit(self, event: str, arguments: tuple[object, ...]) -> None:
        if not self._watching:
            return
        changes, place = event in CHANGING, arguments[0] if arguments else None
        if event in {"os.link", "os.symlink", "os.rename"}:
            place = arguments[1]
        if event == "open":
            changes = isinstance(arguments[2], int) and bool(arguments[2] & WRITING)
        if event in {"os.remove", "os.rmdir"} and arguments[1] != -1:  # relative to an open folder
            place = f"{Path(f'/proc/self/fd/{arguments[1]}').readlink()}/{os.fsdecode(place)}"
        if event in FORBIDDEN or (changes and not self._inside(place)):
            self._broken.append(f"{event} {place!r}"[:300])

    def _inside(self, path: object) -> bool:
        if not isinstance(path, str | bytes | os.PathLike):
            return True
        real = os.path.realpath(os.fsdecode(path))
        return real.startswith((str(self.folder.resolve()), "/dev/null"))


def _judged(error: SeamarkError) -> Finding | None:
    """A refusal is right unless it hides that memory ran out, or says nothing."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, MemoryError):
            return Finding("more memory than stated", _place(cause))
        cause = cause.__cause__
    return None if len(str(error)) > 10 else Finding(f"says nothing: {error!r}", _place(error))


def _place(error: BaseException) -> str:
    frames = traceback.extract_tb(error.__traceback__)
    return " < ".join(f"{Path(frame.filename).name}:{frame.name}:{frame.lineno}" for frame in frames[:-5:-1])


def _virtual_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
