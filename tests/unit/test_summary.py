"""The table of scores."""

import csv
from dataclasses import fields

from seamark.evaluation.summary import COUNTS, INTERVALS, SCORES, SummaryRow, write_summary


def test_summary_as_csv(tmp_path):
    scores = dict.fromkeys(COUNTS, 3) | dict.fromkeys(SCORES, 0.5) | {"refined_seg_f1": 1 / 3, "image_auroc": None}
    ends = {"auc_pro": (0.25, 0.75)}
    row = SummaryRow("felt", "test_public", "all", **scores, intervals=ends)
    write_summary(tmp_path / "90_eval" / "summary.csv", [row])
    lines = list(csv.DictReader((tmp_path / "90_eval" / "summary.csv").open()))
    assert lines[0]["refined_seg_f1"] == "0.333333"
    assert lines[0]["image_auroc"] == lines[0]["image_auroc_low"] == ""
    assert (lines[0]["auc_pro_low"], lines[0]["auc_pro_high"]) == ("0.250000", "0.750000")
    columns = [field.name for field in fields(SummaryRow) if field.name != "intervals"]
    assert list(lines[0]) == columns + [f"{score}_{end}" for score in INTERVALS for end in ("low", "high")]
