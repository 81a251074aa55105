"""The map that is ranked: the fused one, or one brought to the scores of validation by two of its own quantiles.

A detector may score a whole image higher or with more contrast than others, as under another light. Pixels of all
images are ranked together, so such an image pushes its good pixels above the defects of others. The fit takes shift and
contrast of its middle scores out and keeps the order within the image. It looks at no other test image.
"""

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from seamark.errors import DataError
from seamark.files.images import Float32Array
from seamark.manifests.maps import MapsManifest
from seamark.manifests.ranking import QuantileFit
from seamark.maps.calibration import Calibrations
from seamark.maps.float16_scores import MAX_SCORE, Histogram, quantile
from seamark.settings.base import Split
from seamark.settings.ranking import RankingSettings


def ranked_map(scores: Float32Array, fit: QuantileFit | None) -> Float32Array:
    """Return the map that is ranked, float32 (h, w): a fused map itself, or fitted.

    A fitted map is ``A + (s - a) (B - A) / (b - a)`` for each score ``s``, with the map's own quantiles a and b and
    those of the validation scores, A and B. Own quantiles are scores that occur (the inverse of the empirical
    distribution function), as in the calibration. A map whose two quantiles are equal keeps its spread: ``s - a + A``.

    Raises
    ------
    DataError
        If a fitted score does not fit into float16, as where a and b are nearly equal.
    """
    if fit is None:
        return scores
    own_low, own_high = (float(own) for own in np.quantile(scores, (fit.low, fit.high), method="inverted_cdf"))
    gain = (fit.high_score - fit.low_score) / (own_high - own_low) if own_high > own_low else 1.0
    with np.errstate(over="ignore", invalid="ignore"):
        fitted = scores - np.float32(own_low)
        fitted *= gain
        fitted += np.float32(fit.low_score)
    if not -MAX_SCORE <= fitted.min() <= fitted.max() <= MAX_SCORE:
        raise DataError(
            f"its quantiles {fit.low:g} and {fit.high:g} are {own_low:g} and {own_high:g}; fitted to {fit.low_score:g} "
            f"and {fit.high_score:g}, it has scores beyond {MAX_SCORE:g}, the largest float16; set ranking.fit: none, "
            "or quantiles farther apart"
        )
    return fitted


def validation_fits(
    settings: RankingSettings, calibrations: Iterable[Path], maps: Iterable[MapsManifest]
) -> dict[str, QuantileFit]:
    """Return what the maps of every category are fitted to, by category; empty without a fit.

    Parameters
    ----------
    settings : RankingSettings
        Whether to fit, and by which quantiles.
    calibrations : iterable of Path
        Manifests of the calibrate stage for validation, one per category; not read without a fit.
    maps : iterable of MapsManifest
        The fused maps.

    Raises
    ------
    ManifestError
        If a category has no calibration, or one of other maps, or with another histogram beside it.
    DataError
        If both quantiles of the validation scores are equal.
    """
    if settings.fit == "none":
        return {}
    known = Calibrations(calibrations)
    fits: dict[str, QuantileFit] = {}
    for manifest in maps:
        known.statistics(manifest, "validation")
        place: tuple[str, Split] = (manifest.category, "validation")
        fits[manifest.category] = _fit_to(known.histogram(*place), settings, known.path(*place))
    return fits


def _fit_to(normal: Histogram, settings: RankingSettings, path: Path) -> QuantileFit:
    low_score, high_score = (quantile(normal, share) for share in (settings.low, settings.high))
    if not low_score < high_score:
        raise DataError(
            f"{path}: the quantiles {settings.low:g} and {settings.high:g} of the validation scores are both "
            f"{low_score:g}, so a fit to them would flatten every map; set ranking.fit: none, or quantiles farther "
            "apart"
        )
    return QuantileFit(low=settings.low, high=settings.high, low_score=low_score, high_score=high_score)
