"""Promises of thresholds: the same before a run and in its report, and all that a union leaves."""

from pathlib import Path

import numpy as np
import pytest

from seamark.manifests.calibration import ImageStatistics, SplitStatistics
from seamark.manifests.masks import MaskRecord, MasksManifest
from seamark.masks.thresholds import ImageContext, find_thresholds
from seamark.report.false_alarms import false_alarm_rows
from seamark.settings.binarize import BinarizeSettings
from seamark.settings.promises import promises_of, promises_text, united_rate

DOCS = Path(__file__).parents[2] / "docs/thresholds.md"
ON = {"enabled": True}
OFF = {"mean_std": {"enabled": False}}
QUANTILE = {**OFF, "quantile": {**ON, "q": 0.9999}}
PIXELS = "at most 0.01 % of the pixels of the normal images that it saw lie above its threshold"
LEFT = "nothing is left of what {} promises alone ("


@pytest.mark.parametrize(
    ("settings", "rate", "told"),
    [
        ({}, None, ["mean_std: nothing"]),
        (QUANTILE, None, [f"quantile: {PIXELS}; of images it promises nothing"]),
        ({**OFF, "conformal": ON}, 0.2, ["conformal: at most 20 % of further normal images are flagged"]),
        ({**OFF, "evt": ON}, 0.1, ["at most 10 % of further", "if their peaks follow a Gumbel distribution"]),
        ({**OFF, "evt": ON, "conformal": ON}, 0.3, ["evt, conformal: united, at most 30 % of", "Gumbel"]),
        (
            {**OFF, "conformal": ON, "normal": "train_crossfit"},
            0.2,
            ["at most 20 % of further normal images are flagged; an estimate, where models of folds"],
        ),
        ({"mebin": ON}, None, ["mean_std, mebin: nothing"]),
        (
            {**QUANTILE, **{"mean_std": ON}},
            None,
            [
                LEFT.format("quantile") + PIXELS,
                "because mean_std, which is united with it, promises no share of pixels",
            ],
        ),
        (
            {"conformal": ON, "mebin": ON},
            None,
            [
                LEFT.format("conformal") + "at most 20 % of further normal images are flagged)",
                "because mean_std and mebin, which are united with it, promise no share of images",
            ],
        ),
        (
            {**QUANTILE, "conformal": ON},
            None,
            [
                "because conformal, which is united with it, promises no share of pixels; nothing is left of what",
                "because quantile, which is united with it, promises no share of images",
            ],
        ),
    ],
)
def test_a_union_says_what_is_left_of_each_promise(settings, rate, told):
    settings = BinarizeSettings.model_validate(settings)
    promises = promises_of(settings)
    text = promises_text(promises)
    assert united_rate(promises) == (None if rate is None else pytest.approx(rate))
    assert all(part in text for part in told), text
    assert reported(settings) == text


def test_the_docs_promise_of_a_quantile_what_the_report_does():
    row = next(line for line in DOCS.read_text().splitlines() if line.startswith("| `quantile` |"))
    assert (
        "at most a share 1 - `q` of the pixels of the normal images that it saw lie above it; of images nothing" in row
    )


def reported(settings):
    """What the report tells of masks that were made with such settings."""
    peaks = [float(peak) for peak in range(1, 12)]
    facts = {"pixels": 1, "minimum": 0, "mean": 0, "std": 1, "quantiles": {}}
    images = [ImageStatistics(id=str(peak), maximum=peak, **facts) for peak in peaks]
    held = {f"{settings.quantile.q:g}": 10.5}
    normal = SplitStatistics(
        split="validation", pixels=11, minimum=0, maximum=11, mean=0, std=1, quantiles=held, images=tuple(images)
    )
    scores = np.linspace(0.0, 11.0, 400, dtype=np.float32).reshape(20, 20)
    thresholds = find_thresholds(
        scores, ImageContext(normal, normal, images[-1], 0.0, dict(enumerate(peaks))), settings
    )
    mask = MaskRecord(
        id="a", file="a.png", width=20, height=20, sha256="0", foreground_px=1, components=1, thresholds=thresholds
    )
    coarse = MasksManifest(category="cup", split="validation", stage="coarse", method="", masks=(mask,))
    judged = coarse.model_copy(update={"stage": "judged"})
    return false_alarm_rows({Path("a"): coarse, Path("b"): judged}, {})[0].told
