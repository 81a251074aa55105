"""Manifests of the index and of the truth, one per split, from the records of a whole category."""

import numpy as np
from PIL import Image

from seamark.data.index import find_truth, index_split
from seamark.manifests.base import read_manifest, write_manifest
from seamark.manifests.index import IndexManifest, TruthManifest
from seamark.settings.base import SPLITS


def indexes(category, records):
    """Return an index for each split that the records name, by split."""
    facts = {"category": category, "layout": "mvtec_ad_2"}
    return {
        split: IndexManifest(split=split, images=tuple(one for one in records if one.split == split), **facts)
        for split in dict.fromkeys(record.split for record in records)
    }


def truths(category, records, splits):
    """Return the truth of some splits, by split."""
    return {
        split: TruthManifest(category=category, split=split, images=tuple(one for one in records if one.split == split))
        for split in splits
    }


def write_lists(folder, category, records, truth_records=None):
    """Write ``<folder>/<category>/<split>.json``, and ``.truth.json`` beside it, and return the paths of each kind."""
    lists = indexes(category, records)
    known = {} if truth_records is None else truths(category, truth_records, lists)
    paths = {split: folder / category / f"{split}.json" for split in lists}
    for split, path in paths.items():
        write_manifest(path, lists[split])
        if split in known:
            write_manifest(path.with_suffix(".truth.json"), known[split])
    return [*paths.values()], [paths[split].with_suffix(".truth.json") for split in known]


def index_category(root, category="part", layout="mvtec_ad_2", splits=SPLITS, **limits):
    """Index a category from its files, by split."""
    return {split: index_split(root, category, split, layout, in_turn, **limits) for split in splits}


def truth_of_category(found, root, truth_root):
    """Gather the truth of all splits, by split."""
    return {split: find_truth(index, root, truth_root, in_turn) for split, index in found.items()}


def with_labelled_masks(truth_path, root):
    """Give the images of a truth two masks instead of one, with values that are labels, in a folder each."""
    truth, records = read_manifest(truth_path, TruthManifest), []
    for record in truth.images:
        if record.mask:
            pixels = np.asarray(Image.open(root / record.mask)).copy() // 255 * 7
            folder = (root / record.mask).with_suffix("")
            folder.mkdir()
            for name, dropped in (("000", slice(0, len(pixels) // 2)), ("001", slice(len(pixels) // 2, None))):
                part = pixels.copy()
                part[dropped] = 0
                Image.fromarray(part).save(folder / f"{name}.png")
        changed = {"mask": record.mask.removesuffix(".png"), "labels": True} if record.mask else {}
        records.append(record.model_copy(update=changed))
    write_manifest(truth_path, truth.model_copy(update={"images": tuple(records)}))


def in_turn(function, items, _what):
    """Apply a function to every item."""
    return [function(item) for item in items]
