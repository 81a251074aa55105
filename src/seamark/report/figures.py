"""What the figures of a run show: panels of lines, drawn on the page and into files for slides alike."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from seamark.evaluation.curves import ThresholdCurve
from seamark.manifests.model import PhaseRecord
from seamark.report.charts import LOG_RATIO, Marker, Series

RAW_SCORE, FITTED_SCORE = "raw score", "fitted score"


@dataclass(frozen=True)
class Panel:
    """Lines over common axes.

    Parameters
    ----------
    name : str
        What sets it apart from the other panels of a figure.
    x_label, y_label : str
        What the axes show.
    series : tuple of Series
        The lines.
    markers : tuple of Marker
        Vertical lines.
    y_log : bool
        Whether the y axis is logarithmic.
    steps : bool
        Whether a line is a histogram: xs are the lower edges of its bins, all of one width.
    area_to : float, optional
        x up to which the area under the lines is marked.
    """

    name: str
    x_label: str
    y_label: str
    series: tuple[Series, ...]
    markers: tuple[Marker, ...] = ()
    y_log: bool = False
    steps: bool = False
    area_to: float | None = None

    def rows(self) -> Iterator[tuple[str, str, float, float]]:
        """Yield panel, line, x and y of every point."""
        for line in self.series:
            yield from ((self.name, line.name, x, y) for x, y in zip(line.xs, line.ys, strict=True))


def score_panel(split: str, curve: ThresholdCurve, markers: Sequence[Marker], score: str = RAW_SCORE) -> Panel:
    """Return the histograms of the scores of good and of defect pixels with the thresholds.

    Parameters
    ----------
    split : str
        Name of the panel.
    curve : ThresholdCurve
        Of that split.
    markers : sequence of Marker
        Thresholds in the same units.
    score : str
        What the curve's scores are called.

    Returns
    -------
    Panel
        Each histogram in shares of its own pixels; that of the defect pixels only where there are some.
    """
    lower = tuple(curve.edges()[:-1].tolist())
    counts = {"good pixels": curve.good_px, "defect pixels": curve.defect_px}
    series = tuple(
        Series(name, lower, tuple(curve.shares(pixels).tolist())) for name, pixels in counts.items() if pixels[0]
    )
    return Panel(split, score, "share of pixels per bin", series, tuple(markers), y_log=True, steps=True)


def threshold_panel(split: str, curve: ThresholdCurve, markers: Sequence[Marker], score: str = RAW_SCORE) -> Panel:
    """Return SegF1, precision and recall over the threshold.

    Parameters
    ----------
    split : str
        Name of the panel.
    curve : ThresholdCurve
        Of that split, with defects.
    markers : sequence of Marker
        Thresholds in the same units.
    score : str
        What the curve's scores are called.

    Returns
    -------
    Panel
        Of a mask without erosion, trimming or refinement.
    """
    values = {"SegF1": curve.seg_f1, "precision": curve.precision, "recall": curve.recall}
    xs = tuple(curve.thresholds.tolist())
    series = tuple(Series(name, xs, tuple(ys.tolist())) for name, ys in values.items())
    return Panel(split, f"threshold ({score})", "score of the mask", series, tuple(markers))


def overlap_panel(curves: Mapping[str, ThresholdCurve], limit: float) -> Panel:
    """Return the mean overlap per defect region over the false-positive rate.

    Parameters
    ----------
    curves : mapping of str to ThresholdCurve
        By split, with defects.
    limit : float
        False-positive rate up to which AucPro is integrated.

    Returns
    -------
    Panel
        One line per split, from (0, 0), up to four times the limit; the points are those of the curve.
    """
    series = []
    for split, curve in curves.items():
        rates, overlaps = curve.false_positive_rate[::-1], curve.overlap[::-1]
        shown = rates <= min(1.0, 4.0 * limit)
        series.append(Series(split, (0.0, *rates[shown].tolist()), (0.0, *overlaps[shown].tolist())))
    marker = Marker(f"limit {limit:g}", limit)
    label = "mean overlap per region"
    return Panel("", "false-positive rate", label, tuple(series), (marker,), area_to=limit)


def precision_recall_panel(curves: Mapping[str, ThresholdCurve]) -> Panel:
    """Return the pixel precision over the pixel recall.

    Parameters
    ----------
    curves : mapping of str to ThresholdCurve
        By split, with defects.

    Returns
    -------
    Panel
        One line per split, from the highest threshold to the lowest.
    """
    series = (
        Series(split, tuple(curve.recall[::-1].tolist()), tuple(curve.precision[::-1].tolist()))
        for split, curve in curves.items()
    )
    return Panel("", "recall of defect pixels", "precision", tuple(series))


def training_panel(phase: PhaseRecord) -> Panel | None:
    """Return the losses of one training phase.

    Parameters
    ----------
    phase : PhaseRecord
        Steps and losses.

    Returns
    -------
    Panel or None
        None for a phase without noted losses.
    """
    steps = tuple(float(step) for step in phase.curve_steps)
    series = tuple(Series(name, steps, values) for name, values in phase.losses.items() if values)
    if not steps or not series:
        return None
    values = [value for line in series for value in line.ys]
    y_log = min(values) > 0.0 and max(values) > LOG_RATIO * min(values)
    return Panel(phase.name, "step", "loss", series, y_log=y_log)
