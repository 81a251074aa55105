"""Record of maps that were fitted before they were ranked."""

from seamark.manifests.base import Record


class QuantileFit(Record):
    """Two quantiles of the pooled validation scores, which each map was shifted and scaled to by its own two."""

    low: float
    """Share of the pixels up to the lower quantile, 0..1."""
    high: float
    low_score: float
    """Lower quantile of the validation scores, in raw score units."""
    high_score: float
