"""The verdict on an image: good, look or bad, by how many normal images score as high, and what it leaves of the mask.

The score of an image is the highest one of its map. Where a further normal image and those at hand could have come in
any order, at most the share ``alpha`` of such images gets a p of at most ``alpha``, whatever the scores are like.

Source: Bates et al., Testing for outliers with conformal p-values, Annals of Statistics 51 (2023), section 1.
"""

import shutil
from bisect import bisect_left
from collections.abc import Callable, Sequence
from functools import cached_property, partial
from pathlib import Path
from typing import Literal

import numpy as np

from seamark.errors import ManifestError
from seamark.files.images import BoolArray, Float32Array
from seamark.manifests.maps import MapsManifest
from seamark.manifests.masks import MaskRecord, MasksManifest
from seamark.manifests.verdict import Answer, Basis, ImageVerdict, LargestDefect, RateRecord, VerdictManifest
from seamark.maps.calibration import Calibrations
from seamark.maps.normal_statistics import Photograph, normal_peaks
from seamark.maps.stored import load_map
from seamark.masks.components import enlarge_map, find_components, grow_components
from seamark.masks.stored import load_mask, save_mask
from seamark.repair import repair_command
from seamark.settings.binarize import BinarizeSettings
from seamark.settings.verdict import VerdictSettings


class NormalScores:
    """Scores of normal images, by which another image is judged.

    Parameters
    ----------
    peaks : sequence of (Photograph, float)
        Highest score of each normal image, at least one, and the photograph that it is or that it is a variant of.
    """

    def __init__(self, peaks: Sequence[tuple[Photograph, float]]) -> None:
        self._peaks = peaks
        self.photographs = len({photograph for photograph, _ in peaks})

    @cached_property
    def ascending(self) -> tuple[float, ...]:
        """The scores in order."""
        return tuple(sorted(score for _, score in self._peaks))

    def p(self, score: float) -> float:
        """Return the conformal p-value of a score: (1 + normal images with at least this score) / (n + 1)."""
        count = len(self.ascending)
        return (1 + count - bisect_left(self.ascending, score)) / (count + 1)

    def percentile(self, score: float) -> float:
        """Return the share of the normal images that lie below a score, 0..100."""
        return 100.0 * bisect_left(self.ascending, score) / len(self.ascending)

    def rate(self, asked: float) -> RateRecord:
        """Return the smallest share of normal images of at least ``asked``, 0..1, that so many of them can tell."""
        used = max(asked, 1.0 / (len(self.ascending) + 1))
        above = max(score for score in self.ascending if self.p(score) > used)
        return RateRecord(asked=asked, used=used, above=above)

    def basis(self, settings: VerdictSettings) -> Basis:
        """Return what verdicts rest on, with both rates."""
        return Basis(
            normal_photographs=self.photographs,
            normal_images=len(self.ascending),
            bad=self.rate(settings.alpha),
            look=self.rate(settings.benchmark_alpha),
        )

    def without(self, photograph: Photograph) -> "NormalScores":
        """Return the scores without a photograph and its variants; all of them if there is nothing else."""
        others = [peak for peak in self._peaks if peak[0] != photograph]
        return self if len(others) in (0, len(self._peaks)) else NormalScores(others)


def answer(p: float, basis: Basis) -> Answer:
    """Return what is said of an image with a p-value: bad or look up to the rates used, otherwise good."""
    if p <= basis.bad.used:
        return "bad"
    return "look" if p <= basis.look.used else "good"


def marked_peak(scores: Float32Array, shape: tuple[int, int], above: float) -> BoolArray:
    """Return the surroundings of the highest score: what is joined to it and nearer to it than to ``above``.

    Parameters
    ----------
    scores : ndarray of float32, shape (h, w)
        Raw scores.
    shape : tuple of int
        Height and width of the image.
    above : float
        Highest score that is not bad, in the unit of the scores.

    Returns
    -------
    ndarray of bool, shape (H, W)
        At least one pixel.
    """
    canvas = enlarge_map(scores, shape)
    peak = np.unravel_index(np.argmax(canvas), shape)
    seed = np.zeros(shape, dtype=np.bool_)
    seed[peak] = True
    return grow_components(seed, canvas > (above + float(canvas[peak])) / 2.0)


def gated(mask: BoolArray, said: Answer, read_map: Callable[[], Float32Array], above: float) -> BoolArray:
    """Empty the mask of a good image, and mark the highest score where that of a bad one is empty.

    The mask of an image to look at stays as it is.

    Parameters
    ----------
    mask : ndarray of bool, shape (H, W)
        The refined mask.
    said : Answer
        The verdict.
    read_map : callable
        Returns the map of the image, float32 (h, w), which is needed where the mask of a bad image is empty.
    above : float
        Highest score that is not bad, in the unit of the scores.

    Returns
    -------
    ndarray of bool, shape (H, W)
        The mask itself unless it contradicts; otherwise an empty one, or the surroundings of the highest score.
    """
    if said == "good" and mask.any():
        return np.zeros_like(mask)
    if said == "bad" and not mask.any():
        return marked_peak(read_map(), mask.shape, above)
    return mask


def gate_action(before: BoolArray, after: BoolArray) -> Literal["kept", "emptied", "marked"]:
    """Say what :func:`gated` did to a mask."""
    if after is before:
        return "kept"
    return "marked" if after.any() else "emptied"


def largest_defect(mask: BoolArray) -> LargestDefect | None:
    """Return the box of the 8-connected component with most pixels, the upper one of equals, of a mask (H, W)."""
    components = find_components(mask)
    if not components.boxes:
        return None
    x0, y0, x1, y1 = components.boxes[int(np.argmax(components.areas))]
    return LargestDefect(x=x0, y=y0, width=x1 - x0, height=y1 - y0)


class Judge:
    """Judges the images of one split, each independently of the others.

    Parameters
    ----------
    maps_path, masks_path : Path
        Where the manifests lie.
    maps : MapsManifest
        Fused maps of the split.
    masks : MasksManifest
        Refined masks of the split.
    calibrations : Calibrations
        Statistics of the split and of the normal images.
    binarize : BinarizeSettings
        Says which images are the normal ones.
    settings : VerdictSettings
        Rates and gate.

    Raises
    ------
    ManifestError
        If masks or calibrations are not those of the maps, or lack the normal images.
    """

    def __init__(
        self,
        *,
        maps_path: Path,
        maps: MapsManifest,
        masks_path: Path,
        masks: MasksManifest,
        calibrations: Calibrations,
        binarize: BinarizeSettings,
        settings: VerdictSettings,
    ) -> None:
        _require_refined(maps_path, maps, masks_path, masks)
        self._maps_path, self._maps = maps_path, {record.id: record for record in maps.maps}
        self._masks_path, self._split, self._category = masks_path, maps.split, maps.category
        self._peaks = {image.id: image.maximum for image in calibrations.statistics(maps, maps.split).images}
        self._normal, self._chosen = NormalScores(normal_peaks(maps, binarize, calibrations)), binarize.normal
        self._basis, self._settings = self._normal.basis(settings), settings

    def write(self, record: MaskRecord, folder: Path, published_as: str) -> tuple[MaskRecord, ImageVerdict]:
        """Judge one image and write its final mask into a folder.

        Parameters
        ----------
        record : MaskRecord
            Its refined mask.
        folder : Path
            Folder to write to.
        published_as : str
            Name that the folder has beside the manifest in the end.

        Returns
        -------
        tuple of MaskRecord and ImageVerdict
            Entries for the manifests.

        Raises
        ------
        ManifestError
            If the mask or, where it is needed, the map is not the one that its manifest describes.
        """
        normal = self._normal.without(Photograph(self._split, record.id))
        basis = self._basis if normal is self._normal else normal.basis(self._settings)
        score = self._peaks[record.id]
        p = normal.p(score)
        said = answer(p, basis)
        refined = load_mask(self._masks_path, record)
        read_map = partial(load_map, self._maps_path, self._maps[record.id])
        mask = gated(refined, said, read_map, basis.bad.above) if self._settings.gate else refined
        if mask is refined:
            final = record.model_copy(update={"file": f"{published_as}/{record.id}.png"})
            (folder / f"{record.id}.png").parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(self._masks_path.parent / record.file, folder / f"{record.id}.png")
        else:
            final = save_mask(folder, published_as, record.id, mask)
        verdict = ImageVerdict(
            id=record.id,
            score=score,
            p=p,
            percentile=normal.percentile(score),
            answer=said,
            defects=final.components,
            area_px=final.foreground_px,
            largest=largest_defect(mask),
            mask=gate_action(refined, mask),
            basis=None if normal is self._normal else basis,
        )
        return final, verdict

    def manifest(self, images: Sequence[ImageVerdict]) -> VerdictManifest:
        """Return the manifest of the verdicts, all that :meth:`write` returned."""
        return VerdictManifest(
            category=self._category,
            split=self._split,
            normal=self._chosen,
            normal_photographs=self._basis.normal_photographs,
            normal_images=self._basis.normal_images,
            smallest_p=self._basis.smallest_p,
            bad=self._basis.bad,
            look=self._basis.look,
            gate=self._settings.gate,
            normal_scores=self._normal.ascending,
            images=tuple(images),
        )


def _require_refined(maps_path: Path, maps: MapsManifest, masks_path: Path, masks: MasksManifest) -> None:
    wanted = (maps.category, maps.split)
    if masks.stage != "refined" or (masks.category, masks.split) != wanted:
        raise ManifestError(
            f"{masks_path}: {masks.stage} masks of {masks.category} {masks.split}, expected refined ones of "
            f"{' '.join(wanted)}; give the manifest of the refine stage of this split"
        )
    if tuple(image.id for image in masks.masks) != tuple(record.id for record in maps.maps):
        raise ManifestError(
            f"{masks_path}: its {len(masks.masks)} masks are not those of the {len(maps.maps)} images that "
            f"{maps_path} lists for split {maps.split}; rebuild them with: {repair_command(masks_path)}"
        )
