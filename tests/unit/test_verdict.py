"""p-values against normal images, rates that they can tell, answers at the borders, and what the gate marks."""

import csv
from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError

from seamark.manifests.verdict import Basis, ImageVerdict, LargestDefect, VerdictManifest
from seamark.maps.normal_statistics import Photograph
from seamark.masks.verdict import NormalScores, answer, gate_action, gated, largest_defect, marked_peak
from seamark.masks.verdict_table import COLUMNS, write_verdicts
from seamark.settings.config import load_config
from seamark.settings.verdict import VerdictSettings

GOLDEN = Path(__file__).parents[1] / "golden" / "verdicts.csv"


def normal(*scores, split="validation"):
    return NormalScores([(Photograph(split, str(number)), score) for number, score in enumerate(scores)])


@pytest.mark.parametrize(
    ("score", "p", "percentile"),
    [(0.5, 1.0, 0), (1.0, 1.0, 0), (1.5, 0.8, 25), (2.0, 0.8, 25), (2.5, 0.4, 75), (3.0, 0.4, 75), (4.0, 0.2, 100)],
)  # fmt: skip
def test_normal_images_with_the_same_score_count_as_higher(score, p, percentile):
    scores = normal(2.0, 1.0, 3.0, 2.0)
    assert (scores.p(score), scores.percentile(score)) == (p, percentile)


@pytest.mark.parametrize(
    ("count", "asked", "used", "flagged"),
    [
        (19, 0.05, 0.05, 0),
        (18, 0.05, 1 / 19, 0),
        (39, 0.05, 0.05, 1),
        (9, 0.1, 0.1, 0),
        (29, 0.1, 0.1, 2),
        (20, 0.1, 0.1, 1),
        (1, 0.05, 0.5, 0),
        (3, 0.9, 0.9, 2),
    ],
)
def test_a_rate_that_cannot_be_told_is_the_smallest_that_can(count, asked, used, flagged):
    """So many of the normal images themselves lie above the border."""
    scores = normal(*map(float, range(count)))
    rate = scores.rate(asked)
    assert (rate.asked, rate.used) == (asked, used)
    assert sum(score > rate.above for score in scores.ascending) == flagged
    assert scores.p(rate.above) > used >= scores.p(np.nextafter(rate.above, np.inf))


@pytest.mark.parametrize(
    ("score", "said"), [(18.0, "bad"), (17.5, "bad"), (17.0, "look"), (16.0, "good"), (15.5, "good"), (-1.0, "good")]
)
def test_answers_at_the_borders(score, said):
    scores = normal(*[17.0, *map(float, range(18))])  # 19 of them: p is at least .05, and .15 at the tie
    basis = scores.basis(VerdictSettings(alpha=0.05, benchmark_alpha=0.15))
    assert answer(scores.p(score), basis) == said
    assert (score > basis.bad.above, score > basis.look.above) == (said == "bad", said != "good")


def test_an_image_is_judged_without_itself_and_its_variants():
    first, second = Photograph("validation", "a"), Photograph("validation", "b")
    scores = NormalScores([(first, 1.0), (second, 2.0), (first, 3.0), (first, 4.0)])
    assert scores.without(first).ascending == (2.0,)
    assert scores.without(second).ascending == (1.0, 3.0, 4.0)
    assert scores.without(Photograph("test_public", "a")) is scores
    assert (scores.photographs, scores.without(second).photographs) == (2, 1)
    alone = normal(1.0)
    assert alone.without(first) is alone
    assert alone.without(Photograph("validation", "0")) is alone, "nothing else is left to judge it by"


def test_the_place_of_the_highest_score_is_marked():
    scores = np.zeros((8, 8), np.float32)
    scores[2:5, 2:5] = 4.0
    scores[3, 3] = 10.0
    scores[6, 6] = 9.0
    place = np.zeros((8, 8), bool)
    place[3, 3] = True
    np.testing.assert_array_equal(marked_peak(scores, (8, 8), 1.0), place)
    place[2:5, 2:5] = True
    np.testing.assert_array_equal(marked_peak(scores, (8, 8), -3.0), place)
    large = marked_peak(scores, (32, 32), 1.0)
    assert large.any()
    assert large[11:17, 11:17].sum() == large.sum()
    assert marked_peak(np.full((2, 2), 0.1, np.float32), (2, 2), 5.0).sum() == 1


@pytest.mark.parametrize(
    ("said", "found", "done"),
    [
        ("good", False, "kept"), ("good", True, "emptied"),
        ("look", False, "kept"), ("look", True, "kept"),
        ("bad", False, "marked"), ("bad", True, "kept"),
    ],
)  # fmt: skip
def test_only_a_contradiction_changes_a_mask(said, found, done):
    mask = np.zeros((4, 4), bool)
    mask[0, 0] = found
    scores = np.eye(4, dtype=np.float32)
    after = gated(mask, said, lambda: scores, 0.5)
    assert gate_action(mask, after) == done
    assert after.any() == (found if done == "kept" else done == "marked")


@pytest.mark.parametrize(("photographs", "said"), [(3, "good"), (4, "look"), (12, "look"), (40, "bad")])
def test_one_odd_photograph_with_three_variants_decides_up_to_three_photographs(photographs, said):
    """What scores a little less than its four images is called good by their doing."""
    usual, odd = [float(score) for score in range(4 * (photographs - 1))], [999.0] * 4
    scores = normal(*usual, *odd)
    assert answer(scores.p(998.0), scores.basis(VerdictSettings())) == said


def test_the_largest_defect_is_the_one_with_most_pixels():
    mask = np.zeros((9, 9), bool)
    assert largest_defect(mask) is None
    mask[0, :5] = mask[4:6, 6:9] = True
    assert largest_defect(mask) == LargestDefect(x=6, y=4, width=3, height=2)


def manifest():
    """A good, an emptied, an undecided and a marked image, and one of them judged by fewer normal images."""
    scores = normal(0.1, 0.25, 1 / 3)
    basis = scores.basis(VerdictSettings(alpha=0.25, benchmark_alpha=0.5))
    box = LargestDefect(x=3, y=0, width=10, height=2)
    rows = [
        ("good/000_regular", "good", "kept", None, 0),
        ('a, "quoted"; Prüfling', "good", "emptied", None, 0),
        ("bad/000", "look", "kept", LargestDefect(x=0, y=0, width=1, height=1), 1),
        ("=1+1", "bad", "marked", box, 2),
    ]
    images = [
        ImageVerdict(
            id=name, score=score, p=scores.p(score), percentile=scores.percentile(score), answer=said, mask=mask,
            defects=defects, area_px=17 * defects, largest=largest,
        )
        for (name, said, mask, largest, defects), score in zip(rows, (0.05, 0.1, 0.3, 1e-7 + 1 / 3), strict=True)
    ]  # fmt: skip
    others = normal(0.1, 0.25).basis(VerdictSettings(alpha=0.25, benchmark_alpha=0.5))
    images[0] = images[0].model_copy(update={"basis": others})
    head = {"category": "Schraube", "split": "test_public", "normal": "validation", "gate": True}
    facts = basis.model_dump() | {"smallest_p": basis.smallest_p, "normal_scores": scores.ascending}
    return VerdictManifest(images=tuple(images), **head, **facts)


def test_the_table_is_as_it_was(tmp_path, fix):
    write_verdicts(tmp_path / "verdicts.csv", [manifest()])
    if fix:
        GOLDEN.write_bytes((tmp_path / "verdicts.csv").read_bytes())
    assert (tmp_path / "verdicts.csv").read_bytes() == GOLDEN.read_bytes()


def test_the_table_reads_back_as_the_verdicts(tmp_path, monkeypatch):
    monkeypatch.setenv("LC_ALL", "de_DE.UTF-8")
    verdicts = manifest()
    write_verdicts(tmp_path / "verdicts.csv", [verdicts, verdicts])
    with (tmp_path / "verdicts.csv").open(newline="", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    assert tuple(rows[0]) == COLUMNS
    assert rows[:4] == rows[4:]
    for row, image in zip(rows, verdicts.images, strict=False):
        basis = verdicts.basis_of(image)
        assert isinstance(basis, Basis)
        assert row["image"].removeprefix("'") == image.id
        assert (float(row["p"]), float(row["score"])) == (image.p, image.score)
        assert (float(row["bad_above"]), int(row["normal_images"])) == (basis.bad.above, basis.normal_images)
        assert (float(row["score"]) > float(row["look_above"])) == (image.answer != "good")
        assert (row["largest_x"] == "") == (image.largest is None)


def test_rates_are_in_order():
    with pytest.raises(ValidationError, match=r"benchmark_alpha \(0.05\) is the wider of the two rates"):
        VerdictSettings(alpha=0.1, benchmark_alpha=0.05)


@pytest.mark.parametrize(
    ("count", "short", "needed"),
    [
        (19, "", 0),
        (18, "verdict.alpha 0.05", 19),
        (9, "verdict.alpha 0.05", 19),
        (2, "verdict.alpha 0.05 and verdict.benchmark_alpha 0.3", 19),
    ],
)
def test_too_few_normal_images_are_told_with_the_number_needed(count, short, needed):
    nearest, refuse = VerdictSettings(), VerdictSettings(too_few="refuse")
    assert nearest.refusal(count) is None
    if not short:
        assert nearest.note(count) is refuse.refusal(count) is None
        return
    assert nearest.note(count).startswith(f"{short}: {count} normal images tell no smaller share than 0.")
    assert nearest.note(count).endswith(f"needs at least {needed}")
    assert refuse.refusal(count).startswith(f"{short}: needs at least {needed} normal images, there are {count}; ")
    remedy = float(refuse.refusal(count).partition("rates of at least ")[2].partition(",")[0])
    assert VerdictSettings(alpha=remedy, benchmark_alpha=max(remedy, 0.3), too_few="refuse").refusal(count) is None


@pytest.mark.parametrize(
    ("normal_choice", "count"),
    [
        ("validation", 5),
        ("validation_variants", 15),
        ("validation_and_variants", 20),
        ("train_crossfit", 7),
        ("validation_and_crossfit", 12),
    ],
)
def test_variants_count_as_normal_images(normal_choice, count):
    raw = {
        "light_variants": {"validation_variants": 3},
        "crossfit": {"folds": 2},
        "data": {"train_images": 7},
        "binarize": {"normal": normal_choice},
    }
    assert load_config(raw).normal_images(9, 5) == count
