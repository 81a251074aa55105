"""Cut the images of one category and split into tiles at the size of the model's input.

**Inputs** ``index``: manifest of the split's images, with their sizes in px and digests.
**Outputs** ``tiles``: uint8 array (T, h, w, C) in a memory-mappable .npy file, values 0..255, C is 1 (grey) or 3 (RGB);
``manifest``: the tiles' windows in px of their images, half-open, rows outer; what lies beyond the image is padding.
**Params** ``settings``: the grid: layout, window in px, overlap as a share of it, input size in px; ``light_variants``:
photometric variants that the split has besides its photographs, or None; ``holdout``: every so manyth photograph, from
the first, is kept out of the split train and is what train_crossfit consists of; ``root``: the data root.

Source: Swin-Cropping, docs/methods/robis.md#swin-cropping.
"""

from functools import partial
from pathlib import Path

from seamark.manifests.base import read_manifest, write_manifest
from seamark.manifests.index import IndexManifest
from seamark.running.job import Job, run
from seamark.settings.grid import GridSettings
from seamark.settings.light_variants import LightVariantsSettings
from seamark.tiles.cutting import tiles_manifest, write_tiles
from seamark.tiles.light_variants import light_variant
from seamark.tiles.plan import images_of, plan_tiles, seen_of


def main(job: Job) -> None:
    """Cut all images of the split."""
    root = Path(job.params["root"])
    target = job.target("tiles")
    index = read_manifest(job.path("index"), IndexManifest)
    split = job.wildcards["split"]
    variants = LightVariantsSettings.model_validate(job.params["light_variants"] or {})
    versions = tuple(variants.versions(split))
    images = seen_of(images_of(index, root), split, job.params["holdout"])
    plan = plan_tiles(images, job.settings(GridSettings), target.parent, job.threads, versions)
    vary = partial(light_variant, variants.wide, index.category)
    write_tiles(target, plan, root, job.map, vary, index=job.path("index"))
    write_manifest(job.target("manifest"), tiles_manifest(plan, index.category, target, split))


run(main, globals())
