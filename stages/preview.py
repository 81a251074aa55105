"""Draw overlay strips, the layers of the viewer and a contact sheet for one category and split.

**Inputs**

- ``index``, ``truth``: manifests of the split; a split that is no test has no truth
- ``maps``: manifest of the fused anomaly maps, float32 TIFF (H, W), raw score units
- ``calibration``: manifest of the validation statistics that the colour range comes from
- ``coarse``, ``refined``: manifests of the masks, the latter those of the verdict stage, 8-bit PNG 0/255 at image size

**Outputs**

- ``manifest``: JSON; beside it, in a folder of the same name, ``<id>.jpg`` (sRGB) per image,
  and ``layers/<id>/`` with JPEG and PNG files that lie on each other
- ``sheet``: JPEG in that folder, all images side by side

**Params**

- ``settings``: panel and layer size in px, columns of the contact sheet, JPEG quality
- ``root``, ``truth_root``: data root and folder of the private truth (or null)
"""

from functools import partial
from pathlib import Path

from seamark.files.atomic import atomic_folder
from seamark.manifests.base import read_manifest, write_manifest
from seamark.manifests.calibration import CalibrationManifest
from seamark.manifests.maps import MapsManifest
from seamark.manifests.preview import PreviewManifest
from seamark.preview.panels import colour_range
from seamark.preview.sources import PreviewManifests, preview_sources
from seamark.preview.writing import write_contact_sheet, write_preview
from seamark.running.job import Job, run
from seamark.settings.preview import PreviewSettings


def main(job: Job) -> None:
    """Run the stage."""
    settings = job.settings(PreviewSettings)
    truth_root = job.params["truth_root"]
    names = ("index", "maps", "coarse", "refined")
    truth = next(iter(job.paths("truth")), None)
    manifests = PreviewManifests(truth=truth, **{name: job.path(name) for name in names})
    sources = preview_sources(manifests, Path(job.params["root"]), None if truth_root is None else Path(truth_root))
    score_range = colour_range(read_manifest(job.path("calibration"), CalibrationManifest).statistics)
    target, sheet = job.target("manifest"), job.target("sheet").name
    published = target.with_suffix("")
    with atomic_folder(published) as folder:
        draw = partial(write_preview, folder=folder, published=published, score_range=score_range, settings=settings)
        previews = job.map(draw, sources, "images")
        write_contact_sheet(previews, folder / sheet, settings)
    maps = read_manifest(job.path("maps"), MapsManifest)
    manifest = PreviewManifest(
        category=maps.category,
        split=maps.split,
        contact_sheet=f"{published.name}/{sheet}",
        colour_range=score_range,
        strips=tuple(preview.record for preview in previews),
    )
    write_manifest(target, manifest)


run(main, globals())
