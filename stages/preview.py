"""Draw overlay strips and a contact sheet for one category and split.

**Inputs**

- ``index``, ``truth``: manifests of the category; truth may know nothing about this split
- ``maps``: manifest of the fused anomaly maps, float32 TIFF (H, W), raw score units
- ``calibration``: manifest with the validation statistics that the colour range comes from
- ``coarse``, ``refined``: manifests of the masks, 8-bit PNG 0/255 at image size

**Outputs**

- ``manifest``: JSON; beside it, in a folder of the same name, ``<id>.jpg`` (sRGB) per image and ``contact_sheet.jpg``

**Params**

- ``settings``: panel size in px, columns of the contact sheet, JPEG quality
- ``root``, ``truth_root``: data root and folder of the private truth (or null)
"""

from functools import partial
from pathlib import Path

from seamark.artifacts import committed_folder
from seamark.job import Job, run
from seamark.manifests.base import read_manifest, write_manifest
from seamark.manifests.calibration import CalibrationManifest
from seamark.manifests.maps import MapsManifest
from seamark.manifests.preview import PreviewManifest
from seamark.panels import colour_range
from seamark.preview import PreviewManifests, preview_sources, write_contact_sheet, write_strip
from seamark.settings.preview import PreviewSettings


def main(job: Job) -> None:
    """Run the stage."""
    settings = job.settings(PreviewSettings)
    truth_root = job.params["truth_root"]
    names = ("index", "truth", "maps", "coarse", "refined")
    manifests = PreviewManifests(**{name: job.path(name) for name in names})
    sources = preview_sources(manifests, Path(job.params["root"]), None if truth_root is None else Path(truth_root))
    score_range = colour_range(read_manifest(job.path("calibration"), CalibrationManifest))
    target = job.target("manifest")
    with committed_folder(target.with_suffix("")) as folder:
        draw = partial(write_strip, folder=folder, score_range=score_range, settings=settings)
        previews = job.map(draw, sources, "strips")
        write_contact_sheet(previews, folder / "contact_sheet.jpg", settings)
    maps = read_manifest(job.path("maps"), MapsManifest)
    manifest = PreviewManifest(
        category=maps.category,
        split=maps.split,
        contact_sheet=f"{target.stem}/contact_sheet.jpg",
        colour_range=score_range,
        strips=tuple(
            preview.record.model_copy(update={"file": f"{target.stem}/{preview.record.file}"}) for preview in previews
        ),
    )
    write_manifest(target, manifest)


run(main, globals())
