"""Scores of the answers on images: how well they tell bad ones from good ones."""

from collections.abc import Sequence

from seamark.manifests.evaluation import RateScores, VerdictScores
from seamark.manifests.verdict import Answer


def verdict_scores(judged: Sequence[tuple[bool, Answer]]) -> VerdictScores:
    """Score the answers on images at both rates.

    Parameters
    ----------
    judged : sequence of (bool, str)
        Whether each image is bad, and what was answered.

    Returns
    -------
    VerdictScores
        Rates of images, 0..1; None where there is no image of the kind.
    """
    return VerdictScores(
        bad=_rate_scores([(bad, answer == "bad") for bad, answer in judged]),
        look=_rate_scores([(bad, answer != "good") for bad, answer in judged]),
    )


def _rate_scores(flagged: Sequence[tuple[bool, bool]]) -> RateScores:
    found = [flag for bad, flag in flagged if bad]
    alarms = [flag for bad, flag in flagged if not bad]
    hits = sum(found) / len(found) if found else None
    false = sum(alarms) / len(alarms) if alarms else None
    return RateScores(
        found=sum(found),
        false_alarms=sum(alarms),
        true_positive_rate=hits,
        false_positive_rate=false,
        balanced_accuracy=None if hits is None or false is None else (hits + 1.0 - false) / 2.0,
    )
