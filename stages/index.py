"""List and check every image of a category.

**Inputs** ``demo``: the demo's manifest, present only when the demo is drawn.
**Outputs** ``manifest``: IndexManifest, JSON; image, split, light, label, mask path, size in px, channels, digest.
**Params** ``root``: data root; ``category``: its name; ``layout``: folder layout, ``mvtec_ad_2`` or ``mvtec_ad``;
``train_images``: training images that are listed, None for all; ``seed``: of the run, by which they are chosen;
``image_px_max``: px that a photograph may have.

Source: docs/methods/mvtec_ad2.md#tree-and-names and docs/methods/mvtec_ad2.md#counts.
"""

from pathlib import Path

from seamark.data.index import index_category
from seamark.manifests.base import write_manifest
from seamark.running.job import Job, run


def main(job: Job) -> None:
    """Index one category."""
    manifest = index_category(
        Path(job.params["root"]),
        job.wildcards["category"],
        job.params["layout"],
        job.map,
        train_images=job.params["train_images"],
        seed=job.params["seed"],
        most_pixels=job.params["image_px_max"],
    )
    write_manifest(job.target("manifest"), manifest)


run(main, globals())
