"""Refine the coarse masks of a category and split with the photographs at hand.

**Inputs** ``index``: manifest of the category's images, 8-bit grey or RGB (H, W); ``maps``: manifest of the fused
anomaly maps, float32 TIFF (h, w), raw score units; ``masks``: manifest of the coarse masks, 8-bit PNG, 0 or 255, at the
size of the photograph.
**Outputs** ``manifest``: MasksManifest, JSON, with the number of components that stay coarse
(``kept_coarse``); beside it, in a folder of the same name, ``<id>.png``, like the coarse masks.
**Params** ``settings``: segmenter, composition with the coarse mask, what is accepted, number of components, hole
filling; ``root``: data root.

Source: docs/methods/robis.md#sam-refinement (box prompts, hole filling); GrabCut (Rother et al. 2004), a guided filter
of the map (He et al. 2010) or Segment Anything (Kirillov et al. 2023) as the segmenter; only the last imports torch.
"""

from functools import partial
from pathlib import Path

from seamark.files.atomic import atomic_folder
from seamark.manifests.base import read_manifest, write_manifest
from seamark.manifests.index import IndexManifest
from seamark.manifests.maps import MapsManifest
from seamark.manifests.masks import MasksManifest
from seamark.masks.refine import Refiner
from seamark.running.job import Job, run
from seamark.settings.refine import RefineSettings
from seamark.settings.seed import job_seed


def main(job: Job) -> None:
    """Refine one split of one category."""
    settings = job.settings(RefineSettings)
    coarse = read_manifest(job.path("masks"), MasksManifest)
    refiner = Refiner(
        root=Path(job.params["root"]),
        index_path=job.path("index"),
        index=read_manifest(job.path("index"), IndexManifest),
        maps_path=job.path("maps"),
        maps=read_manifest(job.path("maps"), MapsManifest),
        masks_path=job.path("masks"),
        masks=coarse,
        settings=settings,
        device=job.device,
        seed=job_seed(job.params, job.rule, job.wildcards),
    )
    target = job.target("manifest")
    with atomic_folder(target.with_suffix("")) as folder:
        masks = job.map(partial(refiner.write, folder=folder, published_as=target.stem), coarse.masks, "masks")
    manifest = MasksManifest(
        category=coarse.category, split=coarse.split, stage="refined", method=settings.stated_method, masks=tuple(masks)
    )
    write_manifest(target, manifest)


run(main, globals())
