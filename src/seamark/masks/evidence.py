"""Evidence of an anomaly map for what a segmenter made of a coarse component.

A segmenter goes by the photograph. Where a defect has an edge of its own there, the photograph shows it better than the
map, which features and smoothing have blurred. Where it has none (a crease, a missing thread, an object that fills the
picture), the segmenter finds a few grains of texture, or the object. The map tells the two apart:

* The core of the component stays, the higher half of its scores. An outline of the defect holds it, grains a share.
* The mean score inside stands out from the one outside as the coarse component does, which a flood does not.

What was measured: docs/segmenters.md.
"""

import numpy as np

from seamark.files.images import BoolArray, Float32Array

CORE_SHARE = 0.5
"""The core of a component: this share of its pixels, those of the highest scores."""

CORE_KEPT = 0.9
"""Share of the core that must stay."""

CONTRAST_KEPT = 0.8
"""Share of the difference between the mean scores inside and outside that must stay."""


def bears_out(scores: Float32Array, component: BoolArray, refined: BoolArray) -> bool:
    """Return whether the scores speak for a refined region in the place of the coarse component.

    Parameters
    ----------
    scores : ndarray of float32, shape (h, w)
        Anomaly map in a window around both.
    component, refined : ndarray of bool, shape (h, w)
        The coarse component and what became of it, each with at least one pixel.

    Returns
    -------
    bool
        Whether the core stays and the region stands out. One that fills the window stands out from nothing.
    """
    inside = scores[component]
    core = component & (scores >= np.quantile(inside, 1.0 - CORE_SHARE))
    if np.count_nonzero(core & refined) < CORE_KEPT * np.count_nonzero(core):
        return False
    return not refined.all() and _contrast(scores, refined) >= CONTRAST_KEPT * _contrast(scores, component)


def _contrast(scores: Float32Array, region: BoolArray) -> float:
    """Return how far the mean score in a region lies above the one around it; 0 without anything around it."""
    if region.all():
        return 0.0
    return float(scores[region].mean(dtype=np.float64) - scores[~region].mean(dtype=np.float64))
