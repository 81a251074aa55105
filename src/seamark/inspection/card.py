"""The calibration card of a bundle: what it was made of, what it promises, and what it has not seen."""

from collections.abc import Iterator

from seamark.inspection.bundle_file import Bundle
from seamark.manifests.verdict import RateRecord
from seamark.maps.normal_statistics import Photograph
from seamark.masks.verdict import NormalScores
from seamark.settings.pixels import PixelSettings


def card_lines(bundle: Bundle) -> Iterator[str]:
    """Yield the lines of the card."""
    told, normal = bundle.manifest, bundle.manifest.normal
    peaks = [(Photograph(peak.split, peak.id), peak.score) for peak in normal.peaks]
    basis = NormalScores(peaks).basis(told.verdict)
    colours = "grey" if told.channels == 1 else "RGB"
    yield f"{told.category} of the run {told.run}, sha256 {bundle.digest}"
    yield f"photographs    {colours}, {told.train_photographs} for training; light: {', '.join(normal.lights)}"
    if told.pixels != PixelSettings():
        yield f"decoded with   {told.pixels.model_dump_json(exclude_defaults=True)}"
    yield f"normal images  {basis.normal_images} of {basis.normal_photographs} photographs ({told.binarize.normal})"
    yield f"called bad     {_rate(basis.bad)}"
    yield f"bad or look    {_rate(basis.look)}"
    yield "               of images that are normal and like these; under other light the rates do not hold"
    for member in told.members:
        grid, frozen = member.grid, member.frozen
        weights = "random weights: it has learned nothing of photographs"
        if frozen is not None:
            place = "in the bundle" if frozen.packed else "to be put beside the bundle"
            weights = f"{frozen.name} ({frozen.licence}), {place}, sha256 {frozen.digest}"
        yield f"detector       {member.name} ({member.type}), {grid.layout} at {grid.input_px} px; {weights}"
    yield f"masks          {'+'.join(told.binarize.enabled_rules)}, refined by {told.refine.method}"
    yield f"made with      {', '.join(f'{name} {version}' for name, version in told.versions.items())}"


def _rate(rate: RateRecord) -> str:
    wider = "" if rate.used <= rate.asked else f", asked for {rate.asked:.3g}: more normal images tell smaller shares"
    return f"at most {rate.used:.3g}, above a score of {rate.above:.4g}{wider}"
