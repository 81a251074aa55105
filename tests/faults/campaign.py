"""Runs that faults strike, finished by the plain command, and compared with a run that nothing disturbed."""

import csv
import json
import os
import re
import shutil
import signal
import subprocess
import tempfile
import time
from collections import Counter
from contextlib import contextmanager
from functools import cache
from pathlib import Path

from tests.faults.draw import KINDS, draw_faults, grouped
from tests.faults.strike import CHANGED, INSTEAD
from tests.workflow.project import Project

MOUNT = ("mount", "-t", "tmpfs", "-o", "size=48m", "faults")
CALL_LIMIT_S = 1200
MOST_CALLS = 40
MOST_REPEATS = 2
"""How often a repair may be named again while no fault strikes."""
REPAIR = re.compile(r"snakemake --cores \S+ --configfile tiny\.yaml -f (\S+(?: out/\S+)*)")
RETRIES = ("--retries", "2")
"""A job that was struck runs again in the same call, which saves the start of the next one."""
UNPRIVILEGED = ("setpriv", "--bounding-set", "-dac_override,-dac_read_search")
"""Without it files of mode 000 stay readable for root."""


@cache
def may_mount():
    """Whether this process may mount a small disk of its own and give up root's right to read everything."""
    if os.geteuid() != 0 or not (shutil.which("mount") and shutil.which("setpriv")):
        return False
    with tempfile.TemporaryDirectory() as folder:
        mounted = subprocess.run([*MOUNT, folder], capture_output=True, check=False).returncode == 0
        if mounted:
            subprocess.run(["umount", folder], check=True)
    return mounted and subprocess.run([*UNPRIVILEGED, "true"], capture_output=True, check=False).returncode == 0


def impossible_kinds():
    """Kinds of faults that cannot be let happen here."""
    if may_mount():
        return set()
    return {"disk_full"} if os.geteuid() else {"disk_full", "unreadable"}


@contextmanager
def small_disk(folder):
    """A disk of 48 MB, where that is permitted; otherwise a folder that no disk_full is drawn for."""
    folder.mkdir(parents=True, exist_ok=True)
    if not may_mount():
        yield folder
        shutil.rmtree(folder)
        return
    subprocess.run([*MOUNT, folder], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)
        folder.rmdir()


def put_hook(folder):
    """Put what strikes into a folder for PYTHONPATH."""
    folder.mkdir(exist_ok=True)
    shutil.copy(Path(__file__).with_name("strike.py"), folder / "sitecustomize.py")


class Campaign:
    """A folder with the undisturbed run, its events, and the outcome of every group of faults."""

    def __init__(self, folder):
        self.folder = Path(folder).resolve()
        self.base = Project(self.folder / "base")
        self.finished = Project(self.folder / "undisturbed")
        self.hook = self.folder / "hook"

    def prepare(self):
        """Make the undisturbed run, unless an earlier call made it."""
        if not self.base.folder.exists():
            draft = Project.fresh(self.folder / "base.draft")
            for folder in ("photographs", "truth"):
                shutil.rmtree(draft.folder / folder / "cloth")
                shutil.rmtree(draft.folder / folder / "bolt/test_private_mixed")
            draft.configure({"data": {"splits": ["validation", "test_private"]}})
            draft.folder.rename(self.base.folder)
        put_hook(self.hook)
        if not self.finished.folder.exists():
            draft = self.copy(self.folder / "undisturbed.draft")
            run = Run(draft, self.hook, self.folder / "undisturbed.journal", [])
            assert run.call("submission").returncode == 0, "the undisturbed run failed"
            draft.folder.rename(self.finished.folder)

    def copy(self, folder):
        """The project before its run; all copies have their compiled code in common."""
        ignored = shutil.ignore_patterns("src")
        shutil.copytree(self.base.folder, folder, ignore=ignored, dirs_exist_ok=True)
        (folder / "src").symlink_to(self.base.folder / "src")
        return Project(folder)

    def changed(self):
        """An undisturbed run of the data with the one changed photograph, made when it is first wanted."""
        made = Project(self.folder / "changed")
        if not made.folder.exists():
            draft = self.copy(self.folder / "changed.draft")
            shutil.copy(draft.folder / INSTEAD, draft.folder / CHANGED)
            run = Run(draft, self.hook, self.folder / "changed.journal", [])
            assert run.call("submission", struck=False).returncode == 0, "the run of the changed data failed"
            draft.folder.rename(made.folder)
        return made

    def events(self):
        """By rule: how many files every job of it touched in the undisturbed run, and how many it read."""
        fewest = {}
        for line in (self.folder / "undisturbed.journal/events.txt").read_text().splitlines():
            rule, *counts = line.split()
            known = fewest.setdefault(rule, [int(count) for count in counts])
            fewest[rule] = [min(pair) for pair in zip(known, map(int, counts), strict=True)]
        return fewest

    def faults(self, seed, count):
        possible = {kind: weight for kind, weight in KINDS.items() if kind not in impossible_kinds()}
        return draw_faults(seed, count, self.events(), possible)

    def strike(self, seed, count, size):
        """Let all faults happen that have not happened in an earlier call; return the table of all."""
        results = self.folder / f"seed{seed}"
        for number, faults in enumerate(grouped(self.faults(seed, count), size)):
            journal = results / f"{number:03d}"
            if not (journal / "outcome.json").exists():
                shutil.rmtree(journal, ignore_errors=True)
                self.strike_group(journal, faults)
        rows = [row for path in sorted(results.glob("*/outcome.json")) for row in json.loads(path.read_text())]
        with (self.folder / f"seed{seed}.csv").open("w", newline="") as stream:
            table = csv.DictWriter(stream, ["number", "kind", "rule", "event", "outcome", "at", "detail"])
            table.writeheader()
            table.writerows(rows)
        return rows

    def strike_group(self, journal, faults):
        with small_disk(self.folder / "disk") as disk:
            run = Run(self.copy(disk / "project"), self.hook, journal, faults)
            left = {fault.number for fault in faults if fault.kind == "photograph_left"}
            wrong = run.finish(lambda: self.changed() if left & run.struck().keys() else self.finished)
            (journal / "wrong.txt").write_text("\n".join(wrong))
            rows = [run.row(fault, "open" if wrong else "same bytes") for fault in faults]
            draft = journal / "outcome.draft"
            draft.write_text(json.dumps(rows, indent=1))
            draft.rename(journal / "outcome.json")


class Run:
    """One run, and the faults that are to strike it."""

    def __init__(self, project, hook, journal, faults):
        self.project, self.hook, self.journal, self.faults = project, hook, journal, faults
        journal.mkdir(parents=True)
        (journal / "armed.json").write_text(json.dumps([fault.as_json() for fault in faults]))
        (journal / "command.json").write_text(json.dumps(self.project.command("submission")))
        self.calls = 0
        self.output = ""

    def call(self, *arguments, struck=True, options=()):
        """Call Snakemake, with faults or without, and keep what it said."""
        command = self.project.command(*arguments)
        command[5:5] = options
        if may_mount():
            command = [*UNPRIVILEGED, *command]
        extra = {"PYTHONPATH": str(self.hook), "FAULTS_JOURNAL": str(self.journal)} if struck else {}
        self.calls += 1
        log = self.journal / f"call{self.calls:02d}.log"
        with log.open("w") as stream:  # no pipe: jobs that outlive a killed Snakemake would hold it
            process = subprocess.Popen(
                command,
                cwd=self.project.folder,
                env=self.project.environment(extra),
                start_new_session=True,
                stdout=stream,
                stderr=subprocess.STDOUT,
            )
            self.wait(process)
        text = log.read_text()
        self.output += text
        return subprocess.CompletedProcess(command, process.returncode, text, "")

    def wait(self, process):
        """Wait for a call, and heal what a fault did as soon as the job that it struck is gone."""
        until = time.monotonic() + CALL_LIMIT_S
        healed = set(self.struck())
        while process.poll() is None:
            time.sleep(0.2)
            gone = {number for number, note in self.struck().items() if not Path(f"/proc/{note.get('pid')}").exists()}
            if gone - healed:
                healed |= gone
                self.heal()
            if time.monotonic() > until:
                os.killpg(process.pid, signal.SIGKILL)
                raise TimeoutError(f"{self.journal}/call{self.calls:02d}.log: a call hangs")

    def struck(self):
        """What is known of every fault that a job has claimed."""
        notes = {}
        for fault in self.faults:
            path = self.journal / f"{fault.number}.json"
            if path.exists():
                text = path.read_text()
                notes[fault.number] = json.loads(text) if text else {"at": "", "pid": "self", "detail": None}
        return notes

    def heal(self):
        """Undo what a user would undo: free the disk, make files readable, put photographs back."""
        (self.project.folder / "ballast").unlink(missing_ok=True)
        for path in (self.project.folder / "out", self.project.folder / "photographs", self.project.folder / "truth"):
            for file in path.rglob("*") if path.exists() else ():
                if file.is_file() and not file.stat().st_mode & 0o777:
                    file.chmod(0o644)
        saved = self.journal / "photographs"
        for file in [path for path in saved.rglob("*") if path.is_file()] if saved.exists() else ():
            target = self.project.folder / file.relative_to(saved)
            if target.read_bytes() != file.read_bytes():
                shutil.copy2(file, target)

    def finish(self, undisturbed):
        """Call until the run is finished and verified; say in what it then differs from an undisturbed one."""
        known, tried = -1, {}
        while self.calls < MOST_CALLS:
            result = self.call("submission", options=RETRIES)
            struck = len(self.struck())
            self.heal()
            if result.returncode == 0:
                break
            needless = "repeat with:.*" if struck == known else "repeat with:.*|put it back or .*"
            commands = dict.fromkeys(REPAIR.findall(re.sub(needless, "", result.stdout)))
            if struck == known and not commands:
                return [f"the run cannot be finished: {self.journal}/call{self.calls:02d}.log"]
            tried = {} if struck != known else tried
            known = struck
            if commands:
                said = " ".join(commands)
                tried[said] = tried.get(said, 0) + 1
                if tried[said] > MOST_REPEATS:
                    return [f"the repair that is named does not help: {self.journal}/call{self.calls:02d}.log"]
                self.call(*dict.fromkeys(said.split()), options=("--force", *RETRIES))
                self.heal()
        for _ in range(3):
            result = self.call("verify", struck=False)
            if result.returncode == 0:
                break
            self.repair(result.stdout)
        else:
            return ["verify still finds faults after its repairs"]
        return self.differences(undisturbed())

    def repair(self, table):
        """Do what verify says, then the plain command."""
        lines = [line for line in table.splitlines() if not line.startswith(("repeat with", "20"))]
        text = "\n".join(lines)
        for path in re.findall(r"  rm -r (\S+)$", text, re.MULTILINE):
            target = self.project.folder / path
            shutil.rmtree(target) if target.is_dir() else target.unlink(missing_ok=True)
        if targets := dict.fromkeys(REPAIR.findall(text)):
            self.call(*dict.fromkeys(" ".join(targets).split()), struck=False, options=("--force",))
        self.call("submission", struck=False)

    def differences(self, undisturbed):
        found, wanted = self.project.results(), undisturbed.results()
        return [name for name in sorted(found.keys() | wanted.keys()) if found.get(name) != wanted.get(name)]

    def row(self, fault, outcome):
        note = self.struck().get(fault.number, {"missed": "no job came so far"})
        if note.get("missed") or (fault.kind == "second_run" and note["detail"] is None):  # killed before it could
            outcome = "not struck"
        elif not self.took_effect(fault):
            outcome = "without effect"
        elif fault.kind == "second_run" and note["detail"] != "refused":
            outcome = "open"
        facts = {name: getattr(fault, name) for name in ("number", "kind", "rule", "event")}
        return facts | {"outcome": outcome, "at": note.get("at"), "detail": note.get("detail") or note.get("missed")}

    def took_effect(self, fault):
        """Whether what was done to the run shows in what it said, where that is no matter of course."""
        if fault.kind == "disk_full":
            return any("No space left" in line and fault.rule in line for line in self.output.splitlines())
        if fault.kind == "checkpoint":
            return "starting afresh" in self.output + self.logs("train")
        return True

    def logs(self, rule):
        return "".join(path.read_text() for path in (self.project.out / "logs" / rule).rglob("*.log"))


def summary(rows):
    """Lines of a table: faults by kind and outcome, then by stage."""
    outcomes = sorted({row["outcome"] for row in rows})
    lines = []
    for name in ("kind", "rule"):
        counts = Counter((row[name], row["outcome"]) for row in rows)
        lines.append(f"| {name} | {' | '.join(outcomes)} |")
        lines.append("|---" * (len(outcomes) + 1) + "|")
        values = dict.fromkeys(row[name] for row in rows)
        lines += [f"| {it} | {' | '.join(str(counts[it, outcome]) for outcome in outcomes)} |" for it in values]
        lines.append("")
    return lines
