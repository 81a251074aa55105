"""Promises of the rules for thresholds about normal images, alone and united, in words for a person."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from seamark.settings.binarize import CROSSFITTED, BinarizeSettings


class Promise(NamedTuple):
    """What one rule promises; None where it promises no such thing."""

    rule: str
    images: float | None = None
    """Largest share of further normal images that it flags on average, 0..1."""
    pixels: float | None = None
    """Largest share of the pixels of the normal images it saw that lie above its threshold, 0..1."""
    estimated: bool = False
    """Whether models of folds may have scored normal images, so that a share of images is no guarantee."""

    def __str__(self) -> str:
        """Return the promise of the rule alone."""
        if self.pixels is not None:
            share = f"at most {_percent(self.pixels)} of the pixels of the normal images that it saw"
            return f"{share} lie above its threshold; of images it promises nothing"
        if self.images is None:
            return "nothing"
        return _flagged(self.images, [self])


def promises_of(settings: BinarizeSettings) -> tuple[Promise, ...]:
    """Return what the enabled rules promise, each alone."""
    estimated = settings.normal in CROSSFITTED
    images = {"evt": settings.evt.image_rate, "conformal": settings.conformal.alpha}
    pixels = {"quantile": 1.0 - settings.quantile.q}
    return tuple(Promise(rule, images.get(rule), pixels.get(rule), estimated) for rule in settings.enabled_rules)


def united_rate(promises: Sequence[Promise]) -> float | None:
    """Return the largest share of further normal images that united rules flag: the sum; None if one promises none."""
    rates = [promise.images for promise in promises if promise.images is not None]
    return min(1.0, sum(rates)) if rates and len(rates) == len(promises) else None


def promises_text(promises: Sequence[Promise]) -> str:
    """Return what rules promise whose masks are united, and what is left of each promise.

    >>> promises_text([Promise("quantile", pixels=0.001), Promise("mean_std")])
    'quantile, mean_std: nothing is left of what quantile promises alone (at most 0.1 % of the pixels of the normal \
images that it saw lie above its threshold; of images it promises nothing), because mean_std, which is united with it, \
promises no share of pixels'
    """
    rules = ", ".join(promise.rule for promise in promises)
    rate = united_rate(promises)
    if len(promises) == 1:
        return f"{rules}: {promises[0]}"
    if rate is not None:
        return f"{rules}: united, {_flagged(rate, promises)}"
    left = [text for promise in promises for text in _spoiled(promise, promises)]
    return f"{rules}: {'; '.join(left) or 'nothing'}"


def _spoiled(promise: Promise, united: Sequence[Promise]) -> Iterable[str]:
    kind = "images" if promise.images is not None else "pixels"
    if getattr(promise, kind) is not None:
        others = [other.rule for other in united if getattr(other, kind) is None]
        verb = "are united with it, promise" if len(others) > 1 else "is united with it, promises"
        yield (
            f"nothing is left of what {promise.rule} promises alone ({promise}), because {' and '.join(others)}, which "
            f"{verb} no share of {kind}"
        )


def _flagged(rate: float, promises: Iterable[Promise]) -> str:
    found = list(promises)
    text = f"at most {_percent(rate)} of further normal images are flagged"
    if any(promise.rule == "evt" for promise in found):
        text += ", if their peaks follow a Gumbel distribution"
    if any(promise.estimated for promise in found):
        text += "; an estimate, where models of folds scored normal images"
    return text


def _percent(share: float) -> str:
    return f"{100.0 * share:.3g} %"
