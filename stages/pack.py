"""Pack what judging a photograph of one category takes into one file.

**Inputs** ``train``, ``validation``: manifests of these photographs; ``model``: model manifests, one per member of
the fusion; ``weights``: safetensors likewise; ``teacher_weights``: teachers that members were trained on; ``maps``:
manifests of their validation maps; ``fused``: manifests of the fused maps of the splits that thresholds come from;
``calibration``: manifests with the score statistics of these.
**Outputs** ``manifest``: BundleManifest, JSON, with the digest of the bundle; ``bundle``: a ZIP archive of safetensors
files and the manifest, closed by its digest.
**Params** ``settings``: name, type, block and grid of every member; ``merge``, ``fuse``, ``binarize``, ``refine``,
``verdict``: the blocks; ``run``: name of the run.

Source: own.
"""

from seamark.inspection.bundle_file import write_bundle
from seamark.inspection.packing import gathered, normal_images, packed_member
from seamark.manifests.base import read_manifest, write_manifest
from seamark.manifests.bundle import BundleManifest
from seamark.manifests.index import IndexManifest
from seamark.manifests.maps import MapsManifest
from seamark.manifests.model import ModelManifest
from seamark.maps.calibration import Calibrations
from seamark.maps.fusion import member_scaling, read_members
from seamark.masks.binarize import Binarizer
from seamark.running.job import Job, run
from seamark.running.provenance import package_versions
from seamark.settings.binarize import BinarizeSettings
from seamark.settings.fuse import FuseSettings
from seamark.settings.merge import MergeSettings
from seamark.settings.refine import RefineSettings
from seamark.settings.verdict import VerdictSettings


def main(job: Job) -> None:
    """Pack one category."""
    fuse, binarize = job.settings(FuseSettings, "fuse"), job.settings(BinarizeSettings, "binarize")
    scalings = [member_scaling(member, fuse, job.map) for member in read_members(job.paths("maps"), fuse.members)]
    fits = [read_manifest(path, ModelManifest) for path in job.paths("model")]
    own = set(job.paths("teacher_weights"))
    members = [
        packed_member(given, fit, model, scaling, own)
        for given, fit, model, scaling in zip(job.params["settings"], fits, job.paths("weights"), scalings, strict=True)
    ]
    photographs = [read_manifest(job.path(split), IndexManifest) for split in ("train", "validation")]
    fused = {path: read_manifest(path, MapsManifest) for path in job.paths("fused")}
    path, maps = next((path, maps) for path, maps in fused.items() if maps.split == "validation")
    calibrations = Calibrations(job.paths("calibration"))
    binarizer = Binarizer(path, maps, calibrations, binarize)
    if binarize.evidence_alpha is not None:
        binarizer.weigh(job.map(binarizer.evidence, binarizer.normal_maps(fused), "normal maps"))
    train = photographs[0].images
    manifest = BundleManifest(
        run=job.params["run"],
        category=maps.category,
        channels=train[0].channels,
        pixels=train[0].pixels,
        train_photographs=len(train),
        members=tuple(member.record for member in members),
        merge=job.settings(MergeSettings, "merge"),
        fuse=fuse,
        binarize=binarize,
        refine=job.settings(RefineSettings, "refine"),
        verdict=job.settings(VerdictSettings, "verdict"),
        normal=normal_images(maps, binarize, calibrations, photographs),
        least_evidence=binarizer.least_evidence,
        code=job.params["code"],
        versions=package_versions(),
    )
    with gathered(members) as files:
        digest = write_bundle(job.target("bundle"), manifest, files)
    write_manifest(job.target("manifest"), manifest.model_copy(update={"sha256": digest}))


run(main, globals())
