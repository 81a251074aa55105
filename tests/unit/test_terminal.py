"""The logger plugin's picture of a run, from what it hears."""

import json
import logging

import pytest
import yaml
from snakemake_interface_logger_plugins.common import LogEvent
from snakemake_interface_logger_plugins.tests import MockOutputSettings
from tests.workflow.project import ROOT

from seamark.planning.changes import changed_params
from seamark.running.progress import DISPLAY, Progress
from snakemake_logger_plugin_seamark import LogHandler
from snakemake_logger_plugin_seamark.display import MARK
from snakemake_logger_plugin_seamark.failures import failure
from snakemake_logger_plugin_seamark.picture import line, picture
from snakemake_logger_plugin_seamark.reasons import why
from snakemake_logger_plugin_seamark.state import PlannedJob, RunState


def state(categories=("bolt", "cloth"), splits=5):
    """A run of 60 s: drawn, one training done, another half done after a start at step 100."""
    jobs = [PlannedJob("demo", "demo")]
    jobs += [PlannedJob("train", f"train bank {category}", category) for category in categories]
    jobs += [PlannedJob("infer", f"infer {split} {one}", one, 4.0) for one in categories for split in range(splits)]
    made = RunState(dict(enumerate(jobs)), 0.0)
    for number, (start, end) in enumerate([(0.0, 20.0), (20.0, 40.0)]):
        made.start(number, start)
        made.finish(number, end)
    made.start(2, 40.0)
    made.progress({"job": jobs[2].label, "done": 101, "total": 200, "what": "steps"}, 50.0)
    made.progress({"job": jobs[2].label, "done": 150, "total": 200, "what": "steps"}, 60.0)
    return made


def test_a_picture_has_a_bar_for_every_stage_and_category():
    lines = picture(state(), 60.0, 40, 30).plain.splitlines()
    assert lines == [
        "2 of 13 jobs done in 1:00, about 0:50 l…",
        "        bolt            cloth",
        f"demo    {'█' * 26} 1/1",
        "train   █████████ 1/1   ██████░░░ 0/1",
        "infer   ░░░░░░░░░ 0/5   ░░░░░░░░░ 0/5",
        "",
        "▸ train bank cloth  0:20  150 of 200 st…",
    ]
    told = "2 of 13 jobs done in 1:00, about 0:50 left; now: train bank cloth (150 of 200 steps)"
    assert line(state(), 60.0) == told
    assert state(splits=0).remaining_s(60.0) == pytest.approx(10.0 / 49 * 50)


def test_nothing_is_estimated_while_most_stages_are_unknown():
    unknown = state()
    unknown.jobs |= {number: PlannedJob("merge", f"merge {number}") for number in range(20, 40)}
    assert unknown.remaining_s(60.0) is None


@pytest.mark.parametrize("categories", [1, 2, 8, 15, 40])
@pytest.mark.parametrize("height", [8, 30])
def test_a_picture_fits_the_terminal(categories, height):
    lines = picture(state([f"category_{number:02d}" for number in range(categories)]), 60.0, 100, height).plain
    assert max(map(len, lines.splitlines())) <= 100
    assert len(lines.splitlines()) < height
    assert "train" in lines


@pytest.mark.parametrize(
    ("reason", "said"),
    [
        ("Missing output files: a, b, c; Input files updated by another job: d, e", "a and 2 more missing"),
        ("Input files updated by another job: d, e", "what it reads is made anew"),
        ("Updated input files: a; Params have changed since last execution: merge.x: 1; 2", "a changed; merge.x: 1; 2"),
        ("Forced execution", "it was asked for"),
        ("What nobody knows of", "What nobody knows of"),
    ],
)
def test_a_reason_is_one_line(reason, said):
    assert why(reason) == said


@pytest.mark.parametrize(
    ("log", "said"),
    [
        (
            "2026 INFO begun\n2026 ERROR failed: stage merge\n2026 ERROR why\nmore\n2026 ERROR log: a.log\n"
            "2026 INFO traceback\nTraceback\n",
            "failed: stage merge\nwhy\nmore\nlog: a.log",
        ),
        (
            "2026 INFO begun\n",
            "failed: merge bolt\nit ended without a word of its own: killed from outside, out of memory, or before it "
            "began\n  2026 INFO begun\nlog: {}\nrepeat with: snakemake --cores all -f m.json\n"
            "nothing is lost: what other jobs and earlier runs made stays, and the same command goes on",
        ),
    ],
)
def test_a_failure_is_told_in_the_words_of_the_job_or_as_one_without(log, said, tmp_path, monkeypatch):
    monkeypatch.delenv("SEAMARK_CONFIGURATION", raising=False)
    path = tmp_path / "a.log"
    path.write_text(log)
    assert failure("merge bolt", [str(path)], ["m.json"]) == said.format(path)


def test_a_job_tells_a_display_from_where_it_goes_on(monkeypatch, capfd):
    monkeypatch.setenv(DISPLAY, "yes")
    progress = Progress("train bolt", 12, "steps", logging.getLogger("test"), done=11)
    progress.advance()
    told = capfd.readouterr().err
    assert told.startswith(MARK)
    assert json.loads(told.removeprefix(MARK)) == {"job": "train bolt", "done": 12, "total": 12, "what": "steps"}


def record(event, **facts):
    made = logging.LogRecord("snakemake.logging", logging.INFO, "", 0, facts.pop("msg", None), (), None)
    made.__dict__ |= facts | {"event": event}
    return made


def test_a_dry_run_names_jobs_with_their_reason_and_ends_with_the_table(capsys):
    settings = MockOutputSettings()
    settings.dryrun = settings.stdout = True
    handler = LogHandler(settings, None)
    for one in (
        record(None, msg="Building DAG of jobs..."),
        record(LogEvent.RUN_INFO, msg="Job stats"),
        record(LogEvent.JOB_INFO, rule_msg="Merging", reason="Missing output files: a"),
        record(LogEvent.SHELLCMD, msg="python"),
        record(LogEvent.RUN_INFO, msg="Job stats"),
        record(LogEvent.ERROR, msg="Error: no such target"),
    ):
        handler.emit(one)
    handler.close()
    assert capsys.readouterr().out == "Merging: a missing\nError: no such target\n\nJob stats\n"


def test_a_changed_setting_is_named_with_both_values_and_a_file_by_its_path(tmp_path):
    manifest, photographs = tmp_path / "test_public.json", tmp_path / "photographs"
    photographs.mkdir()
    (photographs / "old.png").touch()
    (photographs / "new.png").touch()
    manifest.write_text(json.dumps({"images": [{"file": "old.png"}, {"file": "gone.png"}]}))
    params = {"settings": {"mean_std": {"k": 3.0}, "peaks": True}, "root": str(photographs), "code": "a"}
    facts = {"rule": "binarize", "versions": {}, "params": params}
    manifest.with_suffix(".prov.json").write_text(json.dumps(facts))

    def said(**now):
        return changed_params("binarize", object(), now, [str(manifest)], [])

    assert said(settings={"mean_std": {"k": 3.5}, "peaks": True}) == "binarize.mean_std.k: 3.0 -> 3.5"
    assert said(files="digest") == f"{photographs}/gone.png changed, {photographs}/new.png changed"
    assert said(code="b") == "its code changed"


def test_the_verbose_profile_differs_in_its_logger_alone():
    default, verbose = (
        yaml.safe_load((ROOT / f"profiles/{name}/config.v9+.yaml").read_text()) for name in ("default", "verbose")
    )
    assert default == verbose | {"logger": ["seamark"]}
