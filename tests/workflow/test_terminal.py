"""The words of a run in a pipe, where there is no terminal."""

import os
import signal
import subprocess

import pytest
from tests.workflow.project import Project

INDEX, INVENTORY = "out/tiny/00_index/bolt/train.json", "out/tiny/00_index/bolt.json"
LOST = "nothing is lost: what other jobs and earlier runs made stays, and the same command goes on"


@pytest.fixture(scope="module")
def fresh(tmp_path_factory):
    return Project.fresh(tmp_path_factory.mktemp("terminal"))


def test_a_run_says_little_in_a_pipe(fresh):
    said = fresh.snakemake(INVENTORY).stderr
    assert "6 jobs: index 5, inventory 1\n" in said
    assert "6 of 6 jobs done in 0:" in said
    assert "Reason" not in said
    assert len(said.splitlines()) < 12


def test_a_failure_ends_with_what_why_log_command_and_loss(fresh):
    image = fresh.folder / "photographs/bolt/train/good/001_regular.png"
    whole = image.read_bytes()
    image.write_bytes(whole[:100])
    said = fresh.snakemake(INVENTORY, check=False).stderr
    image.write_bytes(whole)
    failed = said[said.index("failed: ") :].splitlines()
    assert failed[0] == "failed: stage index, category bolt, split train"
    assert "001_regular.png" in failed[1]
    repeat = f"repeat with: snakemake --cores 1 --configfile tiny.yaml -f {INDEX}"
    assert failed[failed.index("log: out/tiny/logs/index/bolt/train.log") + 1 :][:2] == [repeat, LOST]
    assert "1 failed" in said.splitlines()[-1]
    assert not any(word in said for word in ("Traceback", "CalledProcessError", "RuleException", 'File "'))


def test_ctrl_c_ends_in_two_lines(fresh):
    run = subprocess.Popen(
        fresh.command("out/tiny/00_index/cloth.json"),
        cwd=fresh.folder,
        env=fresh.environment({}),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    before = []
    for said in run.stderr:
        before.append(said)
        if "jobs: index" in said:
            break
    os.killpg(run.pid, signal.SIGINT)
    assert run.stderr.read() == "stopped; the same command goes on\n0 of 6 jobs are done; nothing is lost\n"
    assert run.wait() not in (0, None)
    assert "Traceback" not in "".join(before)
