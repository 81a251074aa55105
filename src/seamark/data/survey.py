"""Contents of a category's folder: the images that are read, and all that is passed over; nothing is opened.

Source: docs/photographs.md#what-is-passed-over.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from seamark.data.layout import PLACES, FoundImage, Places, image_problems, listed_images
from seamark.data.listing import ARCHIVES, Listing, file_paths, is_image, is_mask, list_files, meant, stem, suffix
from seamark.data.passed_over import PassedOver, Verdict, category_line, listed, numbered
from seamark.data.published import PUBLISHED
from seamark.errors import DataError
from seamark.files.plain import IMAGE_SUFFIXES, RENAMED_SUFFIXES, examples, shown
from seamark.settings.base import Layout

OR_HIDE = "or leave it out with a dot before its name"


@dataclass(frozen=True)
class CategorySurvey:
    """What a category's folder holds."""

    images: tuple[FoundImage, ...]
    passed_over: tuple[PassedOver, ...]
    """Without errors, which are raised."""

    def line(self, category: str) -> str:
        """Say in one line what is read and what is passed over, see :func:`category_line`."""
        return category_line(category, Counter((image.split, image.label) for image in self.images), self.passed_over)


def survey_category(root: Path, folder: Path, layout: Layout) -> CategorySurvey:
    """List a category's images as :func:`find_images` does, and what lies beside them unread.

    Parameters
    ----------
    root, folder : Path
        Data root, and the category's folder as :func:`category_folders` gives it.
    layout : Layout
        Layout of the folder.

    Raises
    ------
    DataError
        Naming at once everything that looks like data and is not read, what the category lacks, and the layout that
        would fit.
    """
    if layout in PUBLISHED:
        return _survey_published(root, folder, layout)
    listing, places = list_files(folder), PLACES[layout]
    found = CategorySurvey(listed_images(root, folder, layout, listing), ())
    bad = [image for image in found.images if image.label == "bad"]
    lacking = [image for image in bad if image.mask is None or not (root / image.mask).is_file()]
    records = [
        *_other_suffixes(listing, places),
        *_unread_folders(listing, places, masks_lack=bool(lacking)),
        *_loose_images(listing, places, masks_lack=bool(lacking)),
        *_stray_masks(listing, places, masks_lack=bool(lacking)),
        *_beside_nested(root, folder),
        *_other_files(listing, places),
    ]
    survey = CategorySurvey(found.images, tuple(records))
    problems = [str(record) for record in records if record.verdict == "error"]
    problems += [*_misnamed_good(listing, layout), *_masks_among_photographs(listing, places)]
    if lacking and any(places.masked(folder) and names for folder, names in listing.items()):
        problems.append(missing_masks(root, lacking))
    problems += image_problems(root, folder, layout, survey.images)
    if other := _fitting_layout(listing, layout):
        problems = [f"{_images_by_folder(listing)}: that is the layout {other}; set data.layout: {other}"]
    if problems:
        heading = f"{survey.line(shown(folder))}; in the layout {layout}"
        raise DataError(listed(heading, problems))
    return survey


def _survey_published(root: Path, folder: Path, layout: Layout) -> CategorySurvey:
    """List what a data set says that it has; whatever else looks like an image is an error."""
    listing, base = list_files(folder), f"{folder.relative_to(root).as_posix()}/"
    images = listed_images(root, folder, layout, listing)
    there = {*file_paths(listing), *(inside for inside, names in listing.items() if names)}
    masks = {image.mask.removeprefix(base) for image in images if image.mask}
    read = {*masks, *(image.file.removeprefix(base) for image in images)}
    others = [path for path in file_paths(listing) if path not in read and path.rpartition("/")[0] not in masks]
    stray = [path for path in others if is_image(path) and not PUBLISHED[layout].unread.fullmatch(path)]
    bad = [image.file for image in images if image.split in ("train", "validation") and image.label == "bad"]
    survey = CategorySurvey(images, tuple(_by_suffix(sorted({*others} - {*stray}))))
    problems = [
        f"{numbered(len(found), what)} ({', '.join(examples(found))}): {remedy}"
        for found, what, remedy in (
            (sorted(read - there), "file", "missing; unpack the data set again, its list beside it"),
            (stray, "image", f"not read in this layout; convert it to PNG, move it elsewhere, {OR_HIDE}"),
            (bad, "photograph", "to learn from shows a defect; unpack the data set again, its list beside it"),
        )
        if found
    ]
    if problems := [*problems, *image_problems(root, folder, layout, images)]:
        raise DataError(listed(f"{survey.line(shown(folder))}; in the layout {layout}", problems))
    return survey


def _by_suffix(found: Iterable[str]) -> Iterator[PassedOver]:
    """Count files that nothing reads by their suffixes."""
    by_suffix = defaultdict[str, list[str]](list)
    for path in found:
        by_suffix[suffix(path) or "without suffix"].append(path)
    for kind, paths in sorted(by_suffix.items()):
        yield PassedOver(f"{len(paths)} {shown(kind)}", "counted", examples(paths))


def missing_masks(root: Path, lacking: Sequence[FoundImage]) -> str:
    """Say which defect photographs have no mask, what lies where the first is expected, and what to do.

    Parameters
    ----------
    root : Path
        Data root.
    lacking : sequence of FoundImage
        Defect photographs, at least one, whose files of masks are not there.
    """
    mask = root / (lacking[0].mask or "")
    there = list_files(mask.parent, 1)[""] if mask.parent.is_dir() else ()
    holds = f"holds {', '.join(examples(there))}" if there else "is empty" if mask.parent.is_dir() else "does not exist"
    more = f" and of {len(lacking) - 1} more" if len(lacking) > 1 else ""
    return (
        f"{shown(mask)}: the mask of {shown(root / lacking[0].file)}{more} is missing; {shown(mask.parent)} {holds}; "
        "a mask is called as its photograph with _mask.png behind: give masks to all defect photographs of the "
        "category, or none at all for image scores only"
    )


def _inside(folder: str, name: str) -> str:
    return f"{folder}/{name}" if folder else name


def _paths(listing: Listing, top: str) -> list[str]:
    """Paths of all files in a folder and below."""
    folders = (folder for folder in listing if folder == top or folder.startswith(f"{top}/"))
    return [f"{folder}/{name}" for folder in folders for name in listing[folder]]


def _images_by_folder(listing: Listing) -> str:
    counts = {folder: sum(map(is_image, names)) for folder, names in listing.items()}
    return ", ".join(f"{shown(folder)}/ {number}" for folder, number in counts.items() if folder and number)


def _fitting_layout(listing: Listing, layout: Layout) -> Layout | None:
    """Return another layout where it reads more than training images and this one does not."""
    images = [path for path in file_paths(listing) if suffix(path) in IMAGE_SUFFIXES]

    def splits(of: Layout) -> set[str]:
        if of in PLACES:
            found = [path for path in images if PLACES[of].photographs.fullmatch(path.rpartition("/")[0])]
        else:
            found = [path for path in images if PUBLISHED[of].photographs.fullmatch(path)]
        return {path.partition("/")[0] for path in found}

    others = [other for other in (*PLACES, *PUBLISHED) if splits(layout) <= {"train"} < splits(other)]
    return others[0] if others else None


def _other_suffixes(listing: Listing, places: Places) -> Iterator[PassedOver]:
    """Images beside others that are read; may be meant where one of the same name is, such as a camera's raw file."""
    found = defaultdict[tuple[str, Verdict], list[str]](list)
    for folder, names in listing.items():
        if places.photographs.fullmatch(folder):
            read = {stem(name) for name in names if suffix(name) in IMAGE_SUFFIXES}
            for name in names:
                if is_image(name) and suffix(name) not in IMAGE_SUFFIXES:
                    verdict: Verdict = "warning" if stem(name) in read else "error"
                    found[suffix(name), verdict].append(_inside(folder, name))
    for (kind, verdict), paths in sorted(found.items()):
        right = RENAMED_SUFFIXES.get(kind)
        remedy = f"rename it to {right}" if right else "convert it to PNG"
        if verdict == "warning":
            remedy = "an image of the same name is read"
        yield PassedOver(f"{len(paths)} {kind}", verdict, examples(paths), f"{remedy}, {OR_HIDE}")


def _unread_folders(listing: Listing, places: Places, *, masks_lack: bool) -> Iterator[PassedOver]:
    found = defaultdict[str, list[str]](list)
    for folder, names in listing.items():
        if top := places.unread(folder):
            found[top] += [_inside(folder, name) for name in names]
    for top, paths in found.items():
        if not paths:
            continue
        images, what = [path for path in paths if is_image(path)], f"folder {shown(top)}/"
        if not images:
            yield PassedOver(what, "counted", examples(paths))
        elif all(map(is_mask, images)) or any(meant(part, ("ground_truth",)) for part in top.split("/")):
            yield _stray(what, images, places, masks_lack=masks_lack)
        elif home := _home(top, images, places):
            with_masks = f" and their masks into {places.truth}" if home == places.bad else ""
            yield PassedOver(what, "error", examples(images), f"put its photographs into {home}{with_masks}, {OR_HIDE}")
        else:
            yield PassedOver(what, "warning", examples(images), f"read are {places.any_home}")


def _home(top: str, images: Sequence[str], places: Places) -> str | None:
    """Where the photographs of an unread folder belong; folders in it may tell that it is one of a data set."""
    inner = {part for path in images for part in path.split("/")[1:-1]}
    told = any(meant(part, ("train", "test", "validation", "good", "bad")) for part in inner)
    return places.home(top) or (places.any_home if told else None)


def _loose_images(listing: Listing, places: Places, *, masks_lack: bool) -> Iterator[PassedOver]:
    """Images in folders that should hold folders only; beside the splits they may be meant."""
    for folder, names in listing.items():
        images = [_inside(folder, name) for name in names if is_image(name)]
        if not images or folder not in places.branches:
            continue
        what = numbered(len(images), "image", f"directly in {folder}/" if folder else "beside the splits")
        if not folder:
            yield PassedOver(what, "warning", examples(images), f"read are {places.any_home}")
        elif home := places.homes.get(folder):
            yield PassedOver(what, "error", examples(images), f"put them into {home}, {OR_HIDE}")
        else:
            yield _stray(what, images, places, masks_lack=masks_lack)


def _stray(what: str, images: Sequence[str], places: Places, *, masks_lack: bool) -> PassedOver:
    """Masks that are not read: those that photographs lack, or left-overs."""
    remedy = f"a mask belongs into {places.truth}, called as its photograph with _mask.png behind, {OR_HIDE}"
    return PassedOver(what, "error" if masks_lack else "warning", examples(images), remedy)


def _stray_masks(listing: Listing, places: Places, *, masks_lack: bool) -> Iterator[PassedOver]:
    """Files among the masks that belong to no photograph."""
    stray = []
    for folder, names in listing.items():
        if photographs := places.masked(folder):
            wanted = {f"{stem(name)}_mask.png" for name in listing.get(photographs, ())}
            stray += [_inside(folder, name) for name in names if is_image(name) and name not in wanted]
    if stray:
        yield _stray(numbered(len(stray), "mask", "without a photograph"), stray, places, masks_lack=masks_lack)


def _other_files(listing: Listing, places: Places) -> Iterator[PassedOver]:
    """Count what is no image by suffix; but an archive of a split without images should have been unpacked."""
    found = []
    for folder, names in listing.items():
        for name in names if places.unread(folder) is None else ():
            if is_image(name):
                continue
            archive = ARCHIVES.fullmatch(name)
            split = meant(archive[1], places.homes) if archive and not folder else None
            if split and not any(map(is_image, _paths(listing, split))):
                yield PassedOver(shown(name), "error", (), f"unpack it, its photographs into {places.homes[split]}")
            else:
                found.append(_inside(folder, name))
    yield from _by_suffix(found)


def _beside_nested(root: Path, folder: Path) -> Iterator[PassedOver]:
    """Folders with images beside ``can/can``, which is read where ``can`` has no ``train``."""
    beside = list_files(folder.parent) if folder.parent != root else {}
    for name in sorted({inside.partition("/")[0] for inside in beside} - {"", folder.name}):
        inner = [path for path in _paths(beside, name) if is_image(path)]
        if inner:
            home = f"{folder.parent.name}/{folder.name}/"
            yield PassedOver(f"folder {shown(name)}/", "error", examples(inner), f"put it into {home}, {OR_HIDE}")


def _masks_among_photographs(listing: Listing, places: Places) -> Iterator[str]:
    """Masks that would be read as photographs."""
    masks = [
        f"{folder}/{name}"
        for folder, names in listing.items()
        if places.photographs.fullmatch(folder)
        for known in [{stem(name) for name in names}]
        for name in names
        if is_mask(name) and stem(name).removesuffix("_mask") in known
    ]
    if masks:
        what = numbered(len(masks), "mask", f"among photographs ({', '.join(examples(masks))})")
        yield f"{what} would be read as more of them; put masks into {places.truth}, {OR_HIDE}"


def _misnamed_good(listing: Listing, layout: Layout) -> Iterator[str]:
    """In MVTec AD every other folder of the test images is a kind of defect."""
    kinds = {folder.removeprefix("test/") for folder in listing if PLACES["mvtec_ad"].photographs.fullmatch(folder)}
    for kind in sorted(kinds - {"train/good", "good"}) if layout == "mvtec_ad" else ():
        if meant(kind, ("good",)):
            yield f"folder test/{shown(kind)}/ would be read as a kind of defect; rename it to test/good"
