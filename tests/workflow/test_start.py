"""Obstacles to the start of a run, as far as Seamark's own words reach."""

import pytest
from tests.workflow.project import Project


@pytest.fixture
def fresh(tmp_path):
    return Project.fresh(tmp_path / "project")


def rewrite(name, change):
    def broken(folder):
        path = folder / name
        path.write_bytes(change(path.read_bytes()))
        return {}

    return broken


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        (rewrite("tiny.yaml", lambda text: b"run: twice\n" + text), "tiny.yaml: run stands twice, on lines 1 and "),
        (
            rewrite("config.yaml", lambda text: text.decode().encode("utf-16")),
            "config.yaml: is written in UTF-16 or UTF-32, not in UTF-8",
        ),
        (lambda folder: {"TMPDIR": str(folder / "none")}, "project/none: temporary files cannot be written there"),
    ],
    ids=["twice", "encoding", "temporary"],
)
def test_what_keeps_a_run_from_starting_is_said_before_anything_runs(fresh, broken, message):
    result = fresh.snakemake("masks", options=("-n",), check=False, **broken(fresh.folder))
    assert result.returncode != 0
    assert message in result.stdout + result.stderr
    assert not fresh.out.exists()


def test_a_setting_of_the_command_line_is_what_it_would_be_in_a_file(fresh):
    result = fresh.snakemake("masks", options=("-n", "--config", 'run="007"', "data={truth_root: null}"))
    assert "out/007/" in result.stdout + result.stderr
