"""Verdicts made by hand."""

from seamark.manifests.verdict import ImageVerdict, LargestDefect, RateRecord, VerdictManifest

NORMAL_SCORES = tuple(number / 10 for number in range(10, 29))
"""1.0 to 2.8: two of 19 lie above 2.6."""
BAD_ABOVE, LOOK_ABOVE = 2.8, 2.6


def answer_of(score):
    return "bad" if score > BAD_ABOVE else "look" if score > LOOK_ABOVE else "good"


def p_of(score):
    return (1 + sum(normal >= score for normal in NORMAL_SCORES)) / (len(NORMAL_SCORES) + 1)


def verdict(image_id, score, *, answer=None, area=0, mask="kept"):
    """What is said of an image, with a square as its only defect where there is an area."""
    return ImageVerdict(
        id=image_id,
        score=score,
        p=p_of(score),
        percentile=100.0 * sum(normal < score for normal in NORMAL_SCORES) / len(NORMAL_SCORES),
        answer=answer or answer_of(score),
        defects=int(area > 0),
        area_px=area,
        largest=LargestDefect(x=30, y=20, width=5, height=5) if area else None,
        mask=mask,
    )


def verdicts(category, split, images):
    return VerdictManifest(
        category=category,
        split=split,
        normal="validation",
        normal_photographs=len(NORMAL_SCORES),
        normal_images=len(NORMAL_SCORES),
        smallest_p=1 / (len(NORMAL_SCORES) + 1),
        bad=RateRecord(asked=0.05, used=0.05, above=BAD_ABOVE),
        look=RateRecord(asked=0.15, used=0.15, above=LOOK_ABOVE),
        gate=True,
        normal_scores=NORMAL_SCORES,
        images=tuple(images),
    )
