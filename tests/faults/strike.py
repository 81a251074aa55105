"""Put on PYTHONPATH as sitecustomize: lets faults happen inside a job, just before it touches a file of the run.

Every process of a run counts the files that it opens, renames, makes or removes below the run's folders. A fault names
a rule and a number; the first job of that rule that comes so far claims the fault, notes it in the journal and does it.
"""

import contextlib
import fcntl
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import threading
from pathlib import Path

WATCHED = ("out", "submissions", "photographs", "truth")
EVENTS = ("open", "os.rename", "os.mkdir", "os.remove", "os.rmdir")
KEPT_OUT = re.compile(r"/logs/|/benchmarks/|\.running|\.prov\.json|\.tmp-|\.checkpoint|\.failed\.json")
DAY_S = 86400
LARGEST_DISK = 1 << 30
"""Only a disk that was mounted for the faults is filled."""
CHANGED, INSTEAD = "photographs/bolt/test_private/001_regular.png", "photographs/bolt/test_public/bad/000_regular.png"
"""The photograph that changes for good, and the one whose bytes it gets."""


def rule_of_this_process():
    words = Path("/proc/self/cmdline").read_bytes().decode().split("\0")
    script = re.search(r"/\.snakemake/scripts/tmp\w+\.(\w+)\.py$", words[1] if len(words) > 1 else "")
    return script[1] if script else ("snakemake" if "snakemake" in words else None)


def watched(path):
    if not isinstance(path, str | bytes | os.PathLike):
        return None
    text = os.fsdecode(path)
    relative = os.path.relpath(text) if os.path.isabs(text) else text  # noqa: PTH117
    return relative if relative.split("/")[0] in WATCHED else None


def artifacts():
    """Complete files of the run, sorted."""
    files = (path for folder in ("out", "submissions") for path in Path(folder).rglob("*"))
    return sorted(path for path in files if path.is_file() and not KEPT_OUT.search(str(path)))


class Striker:
    def __init__(self, journal, rule):
        self.journal, self.rule = Path(journal), rule
        armed = json.loads((self.journal / "armed.json").read_text())
        self.faults = sorted((fault for fault in armed if fault["rule"] == rule), key=lambda fault: fault["event"])
        self.lock, self.striking = threading.Lock(), threading.local()
        self.events = self.reads = 0

    def hook(self, event, arguments):
        if event not in EVENTS or getattr(self.striking, "now", False):
            return
        path = watched(arguments[0])
        if path is None:
            return
        self.striking.now = True
        try:
            with self.lock:
                self.count(event, path, arguments)
        finally:
            self.striking.now = False

    def count(self, event, path, arguments):
        self.events += 1
        reading = event == "open" and not (arguments[2] or 0) & (os.O_WRONLY | os.O_RDWR) and Path(path).is_file()
        self.reads += reading and "/logs/" not in path
        for fault in list(self.faults):
            counted = self.reads if fault["kind"] == "unreadable" else self.events
            if counted >= fault["event"] and (fault["kind"] != "unreadable" or reading):
                self.faults.remove(fault)
                self.strike(fault, path)

    def note_events(self):
        with (self.journal / "events.txt").open("a") as stream:
            fcntl.flock(stream, fcntl.LOCK_EX)
            stream.write(f"{self.rule} {self.events} {self.reads}\n")

    def strike(self, fault, path):
        try:
            mark = os.open(self.journal / f"{fault['number']}.json", os.O_CREAT | os.O_EXCL | os.O_WRONLY)
        except FileExistsError:
            return  # another job has had it
        facts = {"at": path, "pid": os.getpid(), "detail": None}
        note = lambda detail: facts.update(detail=detail)  # noqa: E731
        try:
            fatal = getattr(self, fault["kind"])(fault, random.Random(fault["seed"]), path, note)
        except LookupError as error:
            facts["missed"] = str(error)
            fatal = None
        os.write(mark, json.dumps(facts).encode())
        os.close(mark)
        if fatal:
            os.kill(*fatal) if fatal[0] > 0 else os.killpg(-fatal[0], fatal[1])

    def kill_run(self, *_):
        return -os.getpgrp(), signal.SIGKILL

    def kill_job(self, *_):
        return os.getpid(), signal.SIGKILL

    def kill_snakemake(self, *_):
        """Kill Snakemake alone: its jobs live on."""
        return os.getpgrp(), signal.SIGKILL

    def disk_full(self, _, draw, path, note):
        disk = os.statvfs(".")
        if disk.f_blocks * disk.f_frsize > LARGEST_DISK:
            raise LookupError("not on a small disk of its own: others would be hurt")
        left = draw.choice((0, 4096, 40960))
        note(f"{left} bytes left")
        with open("ballast", "ab", buffering=0) as stream:  # noqa: PTH123
            for size in (1 << 20, 4096):
                with contextlib.suppress(OSError):  # until no piece of this size fits any more
                    while stream.write(bytes(size)):
                        pass
            stream.truncate(max(0, stream.tell() - left))

    def unreadable(self, _, draw, path, note):
        note(path)
        Path(path).chmod(0)

    def truncated(self, fault, draw, path, note):
        files = artifacts()
        wanted = [file for file in files if file.name.endswith(fault["suffix"])] or files
        if not wanted:
            raise LookupError("nothing to truncate yet")
        file = draw.choice(wanted)
        status = file.stat()
        os.truncate(file, int(status.st_size * draw.uniform(0, 0.95)))
        silent = draw.random() < 0.5
        if silent:
            os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns))
        note(f"{file}{' (time kept)' if silent else ''}")

    def checkpoint(self, fault, draw, path, note):
        files = sorted(Path("out").rglob("*.checkpoint"))
        if not files:
            raise LookupError("no checkpoint yet")
        content = bytearray(files[0].read_bytes())
        for _ in range(8):
            content[draw.randrange(len(content) // 4, len(content))] ^= 1 << draw.randrange(8)
        files[0].write_bytes(content)
        note(str(files[0]))
        return self.kill_job() if draw.random() < 0.5 else self.kill_run()

    def photograph(self, fault, draw, path, note):
        """Change a photograph; who started the run puts it back after the call."""
        files = sorted(file for file in Path("photographs").rglob("*.png") if file != Path(CHANGED))
        file = draw.choice(files)
        other = draw.choice([candidate for candidate in files if candidate != file])
        saved = self.journal / "photographs" / file
        if not saved.exists():
            saved.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(file, saved)
        status = file.stat()
        file.write_bytes(other.read_bytes())
        silent = draw.random() < 0.3
        if silent:
            os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns))
        note(f"{file}{' (time kept)' if silent else ''}")

    def photograph_left(self, fault, draw, path, note):
        """Change one certain photograph for good."""
        content = Path(INSTEAD).read_bytes()
        if Path(CHANGED).read_bytes() == content:
            raise LookupError("changed already")
        Path(CHANGED).write_bytes(content)
        note(CHANGED)

    def second_run(self, fault, draw, path, note):
        environment = {name: value for name, value in os.environ.items() if name != "FAULTS_JOURNAL"}
        command = json.loads((self.journal / "command.json").read_text())
        result = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
        said = result.stdout + result.stderr
        beside = "another snakemake works on this run" in said
        unreadable = "ProtectedOutputException" in said  # of another fault, which Snakemake sees before the lock
        refused = result.returncode != 0 and (beside or unreadable)
        note("refused" if refused else f"not refused: {result.returncode} {result.stderr[-2000:]}")

    def clock(self, fault, draw, path, note):
        """Make all files of the run older or younger, as if the clock had jumped just now."""
        shift = draw.choice((-400, -3, -0.05, 0.05, 3, 400)) * DAY_S
        note(f"{shift:+.0f} s")
        for folder in ("out", "submissions"):
            for file in Path(folder).rglob("*"):
                try:
                    status = file.stat()
                    os.utime(file, (status.st_atime + shift, status.st_mtime + shift))
                except FileNotFoundError:
                    continue


def install():
    rule = rule_of_this_process()
    if rule is None or "FAULTS_JOURNAL" not in os.environ:
        return
    striker = Striker(os.environ["FAULTS_JOURNAL"], rule)
    sys.addaudithook(striker.hook)
    import atexit  # noqa: PLC0415

    atexit.register(striker.note_events)


install()
