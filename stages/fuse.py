"""Fuse the anomaly maps of all member detectors for one category and split.

**Inputs** ``maps``: manifests of the merge stage for this split, one per member; ``validation``: the same for the
validation split, whose maps give every member one scale per category.
**Outputs** ``manifest``: the fused maps, which lie beside it as ``<split>/<id>.tiff``, float32; with a single member
whose borders are not levelled the manifest refers to that member's files, whose scores stay as they are.
**Params** ``settings``: the ``fuse`` block: members with their weights, normalisation, levelled borders, mean or max.

Source: own; scales and borders come from validation maps, so that no test image has a part in them.
"""

import shutil
from functools import partial

from seamark.files.atomic import atomic_folder
from seamark.files.images import Float64Array
from seamark.manifests.base import write_manifest
from seamark.manifests.maps import MapRecord, MapsManifest
from seamark.maps.borders import border_excess, expected_rise
from seamark.maps.fusion import NORMALISATIONS, Member, Scaling, fuse_maps, read_members, refer, validation_scaling
from seamark.maps.stored import save_map
from seamark.running.job import Job, run
from seamark.settings.fuse import FuseSettings


def _levelled(job: Job, validation: list[Member], members: list[Member]) -> tuple[list[Member], list[Member]]:
    """Return the members of both splits without the rise towards the border that their validation maps have."""
    rises = []
    for member in validation:
        excesses = job.map(partial(_excess, member), member.manifest.maps, "validation borders")
        rises.append(expected_rise(excesses))
    first, second = ([m.level(rise) for m, rise in zip(part, rises, strict=True)] for part in (validation, members))
    return first, second


def _excess(member: Member, record: MapRecord) -> Float64Array:
    return border_excess(member.read(record))


def _scaling(job: Job, settings: FuseSettings, member: Member) -> Scaling:
    weight = settings.weight(member.manifest.detector)
    if not settings.scales:
        return Scaling(weight)
    normalisation = NORMALISATIONS[settings.normalise]
    parts = job.map(lambda record: normalisation.of_map(member.read(record)), member.manifest.maps, "validation maps")
    return validation_scaling(member, normalisation, parts, weight)


def _fused(job: Job, settings: FuseSettings, members: list[Member]) -> tuple[MapRecord, ...]:
    validation = read_members(job.paths("validation"), settings.members)
    if settings.level_borders:
        validation, members = _levelled(job, validation, members)
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
    maps = refer(members[0], target) if settings.refers else _fused(job, settings, members)
    first = members[0].manifest
    name = "+".join(member.manifest.detector for member in members)
    write_manifest(target, MapsManifest(detector=name, category=first.category, split=first.split, maps=maps))
    if settings.refers:
        shutil.rmtree(target.with_suffix(""), ignore_errors=True)


run(main, globals())
