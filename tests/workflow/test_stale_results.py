"""The last words of a call of Snakemake about results that are older than what they were made from."""

import re

from tests.workflow.project import CATEGORIES

LATE = ("archive", "check", "report", "scores", "verdicts")


def said(text):
    """Categories in the closing table, and the reason and the target of every result that is marked as stale."""
    table = re.findall(rf"^({'|'.join(CATEGORIES)}) +\w+ ", text, re.MULTILINE)
    mark = r"^(\w+)(?: of (\w+) are)? +(?:\S+ +)?stale: (.+); make it again with: snakemake (?:\S+ )+-- (\w+)$"
    return set(table), {found[1] or found[0]: found[2:] for found in re.findall(mark, text, re.MULTILINE)}


def test_what_is_older_than_its_inputs_is_marked_until_it_is_made_again(project):
    project.configure({"overrides": {"bolt/test_private": {"binarize": {"mean_std": {"k": 3.5}}}}})
    damaged, stale = (
        project.out / "40_maps/inp_former/bolt/test_private/001_regular.tiff",
        project.out / "report/stale.js",
    )
    whole = damaged.read_bytes()
    damaged.write_bytes(whole[:100])
    project.snakemake("masks", check=False)
    assert "stale: made before" in stale.read_text(), "the run was aborted"
    damaged.write_bytes(whole)

    table, marks = said(project.snakemake("masks").stderr)
    assert table == {"cloth"}
    assert {name: reason for name, (reason, _) in marks.items()} == {
        **dict.fromkeys(("bolt", "report", "scores", "verdicts"), "made before binarize ran again"),
        **dict.fromkeys(("archive", "check"), "made before verdict ran again"),
    }
    table, marks = said(project.snakemake(marks["bolt"][1]).stderr)
    assert (table, set(marks)) == (set(CATEGORIES), set(LATE))
    assert said(project.snakemake(marks["archive"][1]).stderr) == (set(CATEGORIES), {})
    assert stale.read_text() == 'seamarkStale("");\n'
