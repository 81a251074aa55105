"""Cross-fitting: which training photographs the model of a fold leaves out, and which of them it scores.

Folds are blocks of consecutive photographs, not every k-th one: neighbours in a series are often near duplicates, and a
model that has seen those of a photograph would find it more normal than it will find any new one.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise, starmap

from seamark.errors import DataError, ManifestError
from seamark.manifests.model import ModelManifest
from seamark.manifests.tiles import TiledImage, TilesManifest
from seamark.settings.crossfit import CrossfitSettings
from seamark.tiles.light_variants import photograph_id, variant_id


@dataclass(frozen=True)
class LeftOut:
    """What a training leaves out."""

    images: tuple[str, ...] = ()
    """Ids of photographs and of their variants."""
    tiles: range = range(0)
    """Their tiles, which lie next to each other."""


def blocks(count: int, folds: int) -> list[range]:
    """Return blocks of consecutive places that are as equal as can be.

    Parameters
    ----------
    count : int
        Places, at least as many as folds.
    folds : int
        Blocks, at least one.

    Returns
    -------
    list of range
        Every place once, in order; no block has two places more than another.

    >>> blocks(7, 3)
    [range(0, 2), range(2, 4), range(4, 7)]
    """
    return list(starmap(range, pairwise(count * fold // folds for fold in range(folds + 1))))


def left_out(tiles: TilesManifest, fold: int, settings: CrossfitSettings) -> LeftOut:
    """Return what the model of a fold, counted from 1, leaves out; its variants go with a photograph.

    It is a block of the photographs, which depends on their order and number alone.

    Raises
    ------
    DataError
        If there are fewer photographs than folds.
    """
    photographs = _photographs(tiles.images)
    if refusal := settings.refusal(len(photographs)):
        raise DataError(f"{tiles.category}: {refusal}")
    block = blocks(len(photographs), settings.folds)[fold - 1]
    images = [image for place in block for image in photographs[place]]
    start = sum(map(_tiles_of, photographs[: block.start]))
    return LeftOut(tuple(image.id for image in images), range(start, start + _tiles_of(images)))


def _tiles_of(images: Sequence[TiledImage]) -> int:
    return sum(len(image.boxes_xyxy) for image in images)


def _photographs(images: Sequence[TiledImage]) -> list[list[TiledImage]]:
    """Group photographs with their variants, which follow them; a photograph itself may be missing."""
    groups: list[list[TiledImage]] = []
    for image in images:
        if groups and _goes_with(image, groups[-1]):
            groups[-1].append(image)
        else:
            groups.append([image])
    return groups


def _goes_with(image: TiledImage, group: Sequence[TiledImage]) -> bool:
    first = group[0].id
    shown = photograph_id(first)
    follows = {variant_id(first, len(group))}
    if first == variant_id(shown, 1):
        follows |= {variant_id(shown, len(group) + 1)}
    return image.id in follows and image.sha256 == group[0].sha256


def scored_tiles(models: Sequence[ModelManifest], tiles: TilesManifest) -> list[range] | list[None]:
    """Return the tiles that each model scores.

    Parameters
    ----------
    models : sequence of ModelManifest
        The model of a category, or those of all folds in their order.
    tiles : TilesManifest
        The tiles to score; where there are folds, those of the training photographs.

    Returns
    -------
    list of range, or of None
        None, which is all tiles, for the model of all photographs; for that of a fold those that it left out, together
        every tile once, in order.

    Raises
    ------
    ManifestError
        If a photograph was left out by no model, by several, or by another than its place says.
    """
    if not any(model.left_out for model in models):
        return [None for _ in models]
    shares = [[image for image in tiles.images if image.id in set(model.left_out)] for model in models]
    if [image for share in shares for image in share] != list(tiles.images):
        raise ManifestError(
            f"{tiles.category}: the photographs that the models of {len(models)} folds left out are not the "
            f"{len(tiles.images)} of {tiles.split}, in their order; train the folds again"
        )
    ends = list(accumulate((_tiles_of(share) for share in shares), initial=0))
    return list(starmap(range, pairwise(ends)))
