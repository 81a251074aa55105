"""The index of a category and split: every image checked before hours are spent on it."""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Literal, cast

from seamark.data.layout import FoundImage, limited, truth_file
from seamark.data.published import PUBLISHED
from seamark.data.root import category_folders
from seamark.data.survey import missing_masks, survey_category
from seamark.data.truth_masks import read_truth, truth_digest
from seamark.errors import DataError
from seamark.files.image_checks import MAX_PIXELS, orientation_note, read_image_file
from seamark.files.images import photograph_header
from seamark.files.parallel import MapItems
from seamark.files.plain import examples, shown
from seamark.manifests.index import ImageRecord, IndexManifest, TruthManifest, TruthRecord
from seamark.settings.base import Layout, Split
from seamark.settings.pixels import PixelSettings


def index_split(
    root: Path,
    category: str,
    split: Split,
    layout: Layout,
    map_images: MapItems,
    *,
    train_images: int | None = None,
    seed: int = 0,
    most_pixels: int = MAX_PIXELS,
    pixels: PixelSettings | None = None,
) -> IndexManifest:
    """List the images of a category and split by id, with size, channels and digest; check them and their masks.

    Parameters
    ----------
    root, category, split, layout : Path, str, Split, Layout
        Data root, name of the category, split, and layout of its folder.
    map_images : callable
        Applies a function to every image.
    train_images, seed : int
        Training images that are listed, None for all, and the seed of their choice, see :func:`limited`; of no effect
        on other splits.
    most_pixels : int
        Pixels that a photograph may have; one with more is refused before it is decoded.
    pixels : PixelSettings or None
        How photographs are decoded, here and by every later stage; None for the default.

    Raises
    ------
    DataError
        If the category is missing or empty, an image is truncated or of a kind that is not supported, grey and RGB are
        mixed, a public defect image has no mask, or a mask has another size or values besides 0 and 255.
    """
    folders = category_folders(root, layout)
    if category not in folders:
        raise DataError(f"{root / category}: no such category; found: {', '.join(folders)}")
    found = limited(survey_category(root, folders[category], layout).images, train_images, seed)
    listed = [image for image in found if image.split == split]
    mapped = map_images(
        lambda image: _record(root, image, most_pixels, layout, pixels or PixelSettings()), listed, "images"
    )
    records = tuple(cast("list[ImageRecord]", mapped))
    require_one_kind(f"{root / category} {split}", ((record.channels, record.file) for record in records))
    return IndexManifest(category=category, split=split, layout=layout, images=records)


def require_one_kind(what: str, photographs: Iterable[tuple[Literal[1, 3], str]]) -> None:
    """Refuse grey and RGB photographs side by side, as a network sees other features in the one than in the other.

    Parameters
    ----------
    what : str
        What the photographs are, for the message.
    photographs : iterable of (int, str)
        Channels, 1 or 3, and file of each, of one split or of all that are learned from and scored together.

    Raises
    ------
    DataError
        If there are both, with their numbers and examples.
    """
    kinds: dict[int, list[str]] = {1: [], 3: []}
    for channels, file in photographs:
        kinds[channels].append(file)
    if all(kinds.values()):
        fewer, more = ("grey", "RGB") if len(kinds[1]) < len(kinds[3]) else ("RGB", "grey")
        raise DataError(
            f"{what}: {_listed('grey', kinds[1])} and {_listed('RGB', kinds[3])}, expected one kind in all splits; "
            f"convert the {fewer} ones to {more}, or all to grey"
        )


def _listed(kind: str, files: Sequence[str]) -> str:
    return f"{len(files)} {kind} photograph(s) ({', '.join(examples(files))})"


def find_truth(index: IndexManifest, root: Path, truth_root: Path | None, map_images: MapItems) -> TruthManifest:
    """Gather the known truth of a split: public labels and masks, and private masks where a truth root is given.

    The latter are ``<category>/<split>/NNN_mask.png``; a private split without a folder there stays unknown. Images are
    in the order of the index. A public image is good or bad by its folder, whatever its mask says; the record tells
    where the two differ, or a bad image has no mask. Raises DataError if an image of a private split with a truth
    folder has no mask, or a mask has another size than its image.
    """
    known = [image for image in index.images if _truth_known(index, image, truth_root)]
    records = map_images(lambda image: _truth(index, image, root, truth_root), known, "masks")
    images = tuple(cast("list[TruthRecord]", records))
    return TruthManifest(category=index.category, split=index.split, images=images)


def surplus_lines(truth: TruthManifest, truth_root: Path) -> Iterator[str]:
    """Name files of the private truth of a split that belong to none of its photographs."""
    folder = truth_root / truth.category / truth.split
    used = {record.mask for record in truth.images if record.root == "truth"}
    present = sorted(path for path in folder.iterdir() if not path.name.startswith(".")) if folder.is_dir() else []
    surplus = [path.name for path in present if str(path.relative_to(truth_root)) not in used]
    if surplus:
        yield (
            f"{truth.category} {truth.split}: {len(surplus)} files in {shown(folder)} belong to no photograph of the "
            f"split ({', '.join(examples(surplus))}); a mask is called <name>_mask.png, after its photograph"
        )


def left_out_lines(truth: TruthManifest) -> Iterator[str]:
    """Name the images that scores of pixels and defects leave out: one by one, unless no bad image has a mask."""
    unmasked = sum(record.left_out == "no mask" for record in truth.images)
    if unmasked:
        yield f"{truth.category}: no masks; {unmasked} bad images count by their folder, in scores of images only"
    for record in truth.images:
        if record.left_out not in (None, "no mask"):
            label = "bad" if record.bad else "good"
            yield (
                f"{truth.category} {record.split}: {record.id} is {label} by its folder, but its mask {record.mask} "
                f"has {record.defect_px} defect pixels; it counts as {label}, and scores of pixels and defects leave "
                "it out: correct one of the two"
            )


def _record(root: Path, image: FoundImage, most_pixels: int, layout: Layout, pixels: PixelSettings) -> ImageRecord:
    path = root / image.file
    content = read_image_file(path, most_pixels, pixels)
    width, height, channels = photograph_header(content, path, most_pixels, pixels)
    if image.mask is not None:
        mask_path = root / image.mask
        if not mask_path.exists():
            raise DataError(missing_masks(root, [image]))
        _checked_defect_px(mask_path, path, (height, width), pixels, labels=layout in PUBLISHED)
    return ImageRecord(
        **asdict(image),
        width=width,
        height=height,
        channels=channels,
        sha256=hashlib.sha256(content).hexdigest(),
        pixels=pixels,
    )


def _checked_defect_px(
    mask_path: Path, image_path: Path, shape: tuple[int, int], pixels: PixelSettings, *, labels: bool
) -> int:
    most_pixels = max(MAX_PIXELS, shape[0] * shape[1])
    mask = read_truth(mask_path, most_pixels, labels=labels)
    if mask.shape != shape:
        notes = orientation_note(image_path, most_pixels, pixels) + orientation_note(mask_path, most_pixels)
        raise DataError(
            f"{mask_path}: {mask.shape[1]} x {mask.shape[0]} px, but its image {image_path} has "
            f"{shape[1]} x {shape[0]} px; a mask must have the size of its image{notes}"
        )
    return int(mask.sum())


def _truth_known(index: IndexManifest, image: ImageRecord, truth_root: Path | None) -> bool:
    if image.split in ("train", "validation"):
        return False
    return image.label is not None or (truth_root is not None and (truth_root / index.category / image.split).is_dir())


def _truth(index: IndexManifest, image: ImageRecord, root: Path, truth_root: Path | None) -> TruthRecord:
    base = {"split": image.split, "id": image.id}
    if image.label is not None and image.mask is None:
        bad, unknown = image.label == "bad", None if image.label == "good" else "no mask"
        defect_px = None if bad else 0
        return TruthRecord(**base, mask=None, root="data", sha256=None, bad=bad, defect_px=defect_px, left_out=unknown)
    if image.mask is not None:
        path, relative, origin = root / image.mask, image.mask, "data"
    elif truth_root is not None:
        folder = truth_root / index.category / image.split
        found = truth_file(folder, image.id)
        if found is None:
            raise DataError(
                f"{folder}: no mask for image {image.id} (expected NNN_mask.png); complete it or unset data.truth_root"
            )
        path, relative, origin = found, str(found.relative_to(truth_root)), "truth"
    labels = origin == "data" and index.layout in PUBLISHED
    shape = (image.height, image.width)
    defect_px = _checked_defect_px(path, root / image.file, shape, image.pixels, labels=labels)
    bad = defect_px > 0 if image.label is None else image.label == "bad"
    left_out = None if bad == (defect_px > 0) else "empty mask" if bad else "mask of a good image"
    facts = {"mask": relative, "root": origin, "sha256": truth_digest(path), "labels": labels, "left_out": left_out}
    return TruthRecord(**base, **facts, bad=bad, defect_px=defect_px)
