"""Snakemake's own report of a finished run has scores, verdicts and contact sheets, each with what it is."""

import zipfile

from tests.workflow.project import CATEGORIES, SPLITS


def test_the_report_of_snakemake_shows_results_with_captions(project):
    project.snakemake("submission", options=("--report", "report.zip"))
    with zipfile.ZipFile(project.folder / "report.zip") as archive:
        names = archive.namelist()
        results = archive.read(next(name for name in names if name.endswith("/report.html"))).decode()
    for category in CATEGORIES:
        assert f"90_eval/{category}.curves.csv" in results
        for split in SPLITS:
            assert f"80_preview/{category}/{split}/contact_sheet.jpg" in results
            assert f"All photographs of {category}, {split}" in results
    assert "90_eval/summary.csv" in results
    assert "tiny/verdicts.csv" in results
    assert "SegF1 of the refined masks" in results
    assert sum(name.endswith("scores.svg") for name in names) == 1
    assert sum(name.endswith("contact_sheet.jpg") for name in names) == len(CATEGORIES) * len(SPLITS)
