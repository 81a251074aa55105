"""No rule erases a category silently, and no single photograph sets a threshold unseen."""

from pathlib import Path
from types import SimpleNamespace

import pytest
from tests.unit.test_report import strip

from seamark.manifests.masks import MaskRecord, MasksManifest, MaskWarning, ThresholdRecord
from seamark.manifests.preview import PreviewManifest
from seamark.maps.normal_statistics import Photograph
from seamark.masks.warnings import mask_warnings
from seamark.report.thresholds import warning_rows

PEAKS = (2.0, 2.5, 3.0, 2.2, 2.8)
USUAL = {Photograph("validation", f"{number:03d}"): peak for number, peak in enumerate(PEAKS)}
ODD = USUAL | {Photograph("train", "000"): 9.0}
LOOK = "look at it: take it out if it is no normal one, or use binarize.peaks, which one photograph cannot set"


def warned(photographs, rules, highest, foreground_px=0, split="test_public"):
    thresholds = tuple(ThresholdRecord(rule=rule, value=value, sees_test_images=False) for rule, value in rules.items())
    facts = {"file": "x.png", "width": 9, "height": 9, "sha256": "0", "components": 0, "thresholds": thresholds}
    masks = [MaskRecord(id="a", foreground_px=0, **facts), MaskRecord(id="b", foreground_px=foreground_px, **facts)]
    records = [SimpleNamespace(maximum=highest - 1.0), SimpleNamespace(maximum=highest)]
    maps = SimpleNamespace(category="cup", split=split, maps=records)
    return [
        (warning.photograph_split, warning.photograph, warning.text)
        for warning in mask_warnings(maps, masks, photographs)
    ]


@pytest.mark.parametrize(
    ("rules", "highest", "told", "remedy"),
    [
        ({"conformal": 3.0}, 2.9, "threshold of conformal 3, and scores reach 2.9", LOOK),
        ({"mean_std": 4.0, "mebin": None}, 2.9, "threshold of mean_std 4, threshold of mebin none, and", LOOK),
        (
            {"peaks": 3.4},
            3.1,
            "threshold of peaks 3.4",
            "look at it, and if it is a normal one, lower binarize.peaks.q",
        ),
        ({"quantile": 3.0, "extent": 1.0}, 3.1, "threshold of quantile 3, and", "or raise binarize.evidence_alpha"),
    ],
)
def test_a_test_split_without_a_mask_is_told_with_rule_value_and_photograph(rules, highest, told, remedy):
    ((split, photograph, text),) = warned(USUAL, rules, highest)
    assert (split, photograph) == ("validation", "002")
    assert text.startswith(f"cup test_public: every mask is empty: {told}")
    assert "Of the normal photographs, validation photograph 002 has the highest score, 3; " in text
    assert remedy in text


def test_masks_and_splits_of_normal_images_are_no_reason_to_warn():
    assert not warned(USUAL, {"conformal": 3.0}, 3.5, foreground_px=1)
    assert not warned(USUAL, {"conformal": 3.0}, 2.9, split="validation")


@pytest.mark.parametrize(
    ("photographs", "rules", "rule"),
    [
        (ODD, {"conformal": 9.0}, "conformal"),
        (ODD, {"mean_std": 9.0, "quantile": 4.0}, "quantile"),
        (ODD, {"conformal": 3.0}, None),  # the second highest peak
        (ODD, {"peaks": 9.0, "mean_std": 9.0}, None),
        (USUAL, {"conformal": 3.0, "quantile": 2.9}, None),
        (USUAL | {Photograph("validation", "005"): 5.0}, {"conformal": 5.0}, None),  # median 2.65 + 6 x 1.4826 x 0.4
        (USUAL | {Photograph("validation", "005"): 6.3}, {"conformal": 6.3}, "conformal"),
    ],
)
def test_a_threshold_that_one_odd_photograph_sets_is_told(photographs, rules, rule):
    texts = [text for _, _, text in warned(photographs, rules, 99.0, foreground_px=1)]
    assert len(texts) == (rule is not None)
    if texts:
        shown = "train photograph 000" if photographs is ODD else "validation photograph 005"
        assert texts[0].startswith(f"cup: {shown} alone sets the threshold of {rule}, ")
        assert texts[0].endswith(LOOK)


def test_the_report_shows_each_warning_once_with_the_photograph():
    def coarse(split, *texts):
        warnings = tuple(MaskWarning(text=text, photograph="007", photograph_split="validation") for text in texts)
        facts = {"category": "cup", "stage": "coarse", "method": "conformal", "masks": ()}
        return MasksManifest(split=split, warnings=warnings, **facts)

    preview = PreviewManifest(
        category="cup", split="validation", contact_sheet="c.jpg", colour_range=(0.0, 1.0), strips=(strip("007"),)
    )
    manifests = {Path("a"): coarse("test_public", "odd", "empty"), Path("b"): coarse("test_private", "odd")}
    shared, alone = warning_rows(manifests, {Path("80/validation.json"): preview})
    assert (shared.text, shared.paths, shared.strip) == ("odd", (Path("a"), Path("b")), Path("80/s/007.jpg"))
    assert (alone.text, alone.paths, alone.photograph) == ("empty", (Path("a"),), "007")
    assert warning_rows(manifests, {})[0].strip is None
