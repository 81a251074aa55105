"""Results of an earlier run: they stay until their successor is complete, and never pass for it."""

import fcntl
import os
import subprocess
import sys
import textwrap

import pytest
from tests.workflow.project import ROOT

SNAKEFILE = textwrap.dedent("""
    from snakemake.jobs import Job
    from seamark.planning.workflow import keep_results

    keep_results(Job)

    rule work:
        output:
            manifest="{fault}.json",
            model="{fault}.bin",
        log:
            "logs/{fault}.log"
        script:
            "work.py"
""")
SCRIPT = textwrap.dedent("""
    import os
    import signal
    from seamark.errors import DataError
    from seamark.files.atomic import atomic_write
    from seamark.running.job import run

    def write(path):
        with atomic_write(path) as draft:
            draft.write_text(os.environ["CONTENT"])

    def main(job):
        fault = job.wildcards["fault"] if "STRIKE" in os.environ else ""
        if fault == "error":
            raise DataError("no")
        if fault in ("SIGINT", "SIGKILL"):
            os.killpg(0, getattr(signal, fault))
        if fault == "killed":
            os.kill(os.getpid(), signal.SIGKILL)
        write(job.target("model"))
        if fault == "between":
            raise DataError("no")
        if fault != "unwritten":
            write(job.target("manifest"))

    run(main, globals())
""")
FAULTS = {
    "jobs": {"error": ("old", "old"), "between": ("old", "new"), "killed": ("old", "old"), "unwritten": ("old", "new")},
    "Snakemake": {"SIGKILL": ("old", "old")},
    "Ctrl-C": {"SIGINT": ("old", "old")},
}
"""What strikes, and what manifest and model hold then."""


@pytest.fixture
def started(tmp_path):
    """Starts Snakemake on the jobs of some faults."""
    (tmp_path / "Snakefile").write_text(SNAKEFILE)
    (tmp_path / "work.py").write_text(SCRIPT)

    def start(faults, *options, **environment):
        command = [sys.executable, "-m", "snakemake", "--cores", "2", "--workflow-profile", ROOT / "profiles/default"]
        return subprocess.Popen(
            [*command, *options, "--", *(f"{fault}.json" for fault in faults)],
            cwd=tmp_path,
            env=os.environ | environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    return start


@pytest.mark.parametrize("left", FAULTS.values(), ids=FAULTS)
def test_a_struck_job_leaves_old_results_and_is_made_again(tmp_path, started, left):
    def ended(*options, **environment):
        process = started(left, *options, **environment)
        _, said = process.communicate()
        return process.returncode == 0, said

    def contents():
        return {fault: tuple((tmp_path / f"{fault}{end}").read_text() for end in (".json", ".bin")) for fault in left}

    assert ended(CONTENT="old")[0]
    well, said = ended("-F", CONTENT="new", STRIKE="yes")
    assert not well
    assert contents() == left
    assert not list(tmp_path.glob(".*.tmp-*"))
    if "error" in left:
        assert "work failed; as earlier jobs left them, and to be made again: error.json, error.bin" in said
    assert ended(CONTENT="newest")[0]
    assert contents() == dict.fromkeys(left, ("newest", "newest"))


def test_a_job_waits_for_one_that_outlived_its_snakemake(tmp_path, started):
    (tmp_path / "logs").mkdir()
    with (tmp_path / "logs/error.log").open("a") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        process = started(["error"], CONTENT="new")
        assert any("work error: waiting for an earlier process" in line for line in process.stderr)
    process.communicate()
    assert process.returncode == 0
