"""Manifest of the evaluate stage."""

from pydantic import Field

from seamark.manifests.base import Inside, Manifest, Record
from seamark.manifests.index import LeftOut
from seamark.manifests.ranking import QuantileFit
from seamark.settings.base import Split


class MaskScores(Record):
    """How well binary masks agree with the truth; None where nothing is to be found and nothing found.

    SegF1 is None, too, where no bad image has a mask; pixels are those of images whose masks agree with their folders.
    """

    seg_f1: float | None
    """Pixels of all images pooled, then one F1."""
    class_f1: float | None
    """Image F1; an image counts as anomalous when any pixel is foreground."""
    true_positive_px: int
    false_positive_px: int
    false_negative_px: int
    flagged_normal_images: int
    """Images without a defect in which a pixel is foreground."""


class DefectRecall(Record):
    """How many defects of one size are found; a defect is found when more than half of its pixels are in the mask."""

    minimum_px: int
    maximum_px: int | None
    """None for the largest class."""
    defects: int
    coarse: float | None
    """Share of the defects that the coarse masks find; None without one of this size."""
    refined: float | None


class SeamScores(Record):
    """Mean score difference of neighbouring pixels of the stored maps, in raw score units; None without such a pair."""

    border: float | None
    """Across the borders of tiles."""
    inside: float | None
    """Everywhere else."""
    ratio: float | None
    """Border over inside; near 1 where tiling leaves no trace."""


class RateScores(Record):
    """How well images flagged at one rate agree with the truth; rates are None where there is no image of the kind."""

    found: int
    """Bad images that are flagged."""
    false_alarms: int
    """Good images that are flagged."""
    true_positive_rate: float | None
    false_positive_rate: float | None
    balanced_accuracy: float | None
    """Mean of the shares of bad images flagged and of good images not flagged."""


class VerdictScores(Record):
    """How well the answers on images agree with the truth."""

    bad: RateScores
    """Flagged are the images called bad."""
    look: RateScores
    """Flagged are the images called bad or look."""


class SubsetScores(Record):
    """Scores of one split, or of one light condition of it."""

    split: Split
    light: str
    """``all`` for the whole split."""
    images: int
    bad_images: int
    left_out_images: int
    """Of all images, those that scores of pixels and defects leave out, as their pixels have no truth."""
    auc_pro: float | None
    """Area under the per-region overlap up to ``fpr_limit``, divided by it; None without defects."""
    pixel_auroc: float | None
    pixel_ap: float | None
    """Average precision over all pixels, step-wise."""
    image_auroc: float | None
    """With the maximum of the map as image score."""
    iap: float | None
    """Mean over the defects of the interpolated precision at their score."""
    iap_at_recall: float | None
    """Interpolated precision at the share ``iap_recall`` of the defects."""
    oracle_seg_f1: float | None
    """Best SegF1 of one threshold chosen with the truth at hand: no result, but a bound for every global threshold."""
    oracle_threshold: float | None
    """That threshold, in raw score units; a pixel counts from this score on."""
    class_f1_floor: float | None
    """ClassF1 of calling every image anomalous."""
    verdict: VerdictScores
    coarse: MaskScores
    refined: MaskScores
    defects: tuple[DefectRecall, ...]
    """By size, ascending."""
    seams: SeamScores
    intervals: dict[str, tuple[float, float]]
    """95 % bootstrap intervals over the images by name of the score, as in the summary; without the undefined ones."""


class ImageScores(Record):
    """Scores of one image; F1 is None, too, where there is nothing to find and nothing found."""

    split: Split
    id: Inside
    light: str
    bad: bool
    peak: float
    """Maximum of the ranked map."""
    defect_px: int | None = None
    defects: int | None = None
    """Defect regions."""
    coarse_defects_found: int | None = None
    """Of which the mask holds more than half of the pixels."""
    refined_defects_found: int | None = None
    coarse_f1: float | None = None
    refined_f1: float | None = None
    refined_false_positive_px: int | None = None
    refined_false_negative_px: int | None = None
    left_out: LeftOut | None = Field(None, exclude_if=lambda why: why is None)
    """Why scores of pixels and defects leave the image out; those above are None then."""


class ResampledScores(Record):
    """Every score of every resample behind the intervals, for intervals of differences between runs.

    Runs whose seed and images are the same drew the same images for each resample.
    """

    file: Inside
    """Array beside the manifest: float64 (subsets, scores, resamples), NaN where a score is undefined."""
    sha256: str
    scores: tuple[str, ...]
    """Names of the scores, as in the summary, in the order of the second axis."""
    seed: int


class EvaluationManifest(Manifest):
    """Scores of one category on every split whose truth is known."""

    category: Inside
    detector: str
    fpr_limit: float
    iap_recall: float
    resamples: int
    """Behind each interval."""
    subsets: tuple[SubsetScores, ...]
    images: tuple[ImageScores, ...]
    resampled: ResampledScores | None = None
    """None without resamples."""
    ranking: QuantileFit | None = Field(None, exclude_if=lambda fit: fit is None)
    """What maps were fitted to before they were ranked; left out where the fused maps were."""
