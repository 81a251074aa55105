"""Fuse the anomaly maps of all member detectors for one category and split.

**Inputs** ``maps``: manifests of the merge stage for this split, one per member; ``validation``: the same for the
validation split, whose maps give every member one scale per category.
**Outputs** ``manifest``: the fused maps. With several members they lie beside it as ``<split>/<id>.tiff``, float32;
with a single member the manifest refers to that member's files, whose scores stay as they are.
**Params** ``settings``: the ``fuse`` block: members with their weights, normalisation, mean or max.

Source: own; the scale comes from validation maps, so that no test image has a part in it.
"""

import shutil

from seamark.files.atomic import atomic_folder
from seamark.manifests.base import write_manifest
from seamark.manifests.maps import MapRecord, MapsManifest
from seamark.maps.fusion import NORMALISATIONS, Member, Scaling, fuse_maps, read_members, refer, validation_scaling
from seamark.maps.stored import save_map
from seamark.running.job import Job, run
from seamark.settings.fuse import FuseSettings


def _scaling(job: Job, settings: FuseSettings, member: Member) -> Scaling:
    weight = settings.weight(member.manifest.detector)
    if settings.normalise == "none":
        return Scaling(weight)
    normalisation = NORMALISATIONS[settings.normalise]
    parts = job.map(lambda record: normalisation.of_map(member.read(record)), member.manifest.maps, "validation maps")
    return validation_scaling(member, normalisation, parts, weight)


def _fused(job: Job, settings: FuseSettings, members: list[Member]) -> tuple[MapRecord, ...]:
    validation = read_members(job.paths("validation"), settings.members)
    scalings = [_scaling(job, settings, member) for member in validation]
    records = [{record.id: record for record in member.manifest.maps} for member in members]
    split = members[0].manifest.split

    with atomic_folder(job.target("manifest").with_suffix("")) as folder:

        def fuse(first: MapRecord) -> MapRecord:
            maps = [member.read(own[first.id]) for member, own in zip(members, records, strict=True)]
            shape = (first.image_height, first.image_width)
            return save_map(folder, split, first.id, fuse_maps(maps, scalings, settings), shape)

        return tuple(job.map(fuse, members[0].manifest.maps, "images fused"))


def main(job: Job) -> None:
    """Fuse all images of the split."""
    settings = job.settings(FuseSettings)
    target = job.target("manifest")
    members = read_members(job.paths("maps"), settings.members)
    alone = len(members) == 1
    maps = refer(members[0], target) if alone else _fused(job, settings, members)
    first = members[0].manifest
    name = "+".join(member.manifest.detector for member in members)
    write_manifest(target, MapsManifest(detector=name, category=first.category, split=first.split, maps=maps))
    if alone:
        shutil.rmtree(target.with_suffix(""), ignore_errors=True)


run(main, globals())
