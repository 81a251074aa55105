"""Fuse the anomaly maps of all member detectors for one category and split.

**Inputs** ``maps``: manifests of the merge stage for this split, one per member; ``validation``: the same for the
validation split, whose maps give every member one scale per category.
**Outputs** ``manifest``: the fused maps, which lie beside it as ``<split>/<id>.tiff``, float32; with a single member
whose borders are not levelled the manifest refers to that member's files, whose scores stay as they are.
**Params** ``settings``: the ``fuse`` block: members with their weights, normalisation, levelled borders, mean or max.

Source: own; scales and borders come from validation maps, so that no test image has a part in them.
"""

import shutil

from seamark.files.atomic import atomic_folder
from seamark.manifests.base import write_manifest
from seamark.manifests.maps import FusedMember, MapRecord, MapsManifest
from seamark.maps.fusion import Member, fuse_maps, member_scaling, read_members, refer
from seamark.maps.stored import load_map, save_map
from seamark.running.job import Job, run
from seamark.settings.fuse import FuseSettings


def _fused(
    job: Job, settings: FuseSettings, members: list[Member]
) -> tuple[tuple[MapRecord, ...], tuple[FusedMember, ...]]:
    validation = read_members(job.paths("validation"), settings.members)
    scalings = [member_scaling(member, settings, job.map) for member in validation]
    target, split = job.target("manifest"), members[0].manifest.split
    records = [{record.id: record for record in refer(member, target)} for member in members]

    with atomic_folder(target.with_suffix("")) as folder:

        def fuse(first: MapRecord) -> MapRecord:
            parts = [own[first.id] for own in records]
            fused = fuse_maps([load_map(target, part) for part in parts], scalings, settings)
            shape = (first.image_height, first.image_width)
            return save_map(folder, split, first.id, fused, shape, cell_px=min(part.cell_px for part in parts))

        maps = tuple(job.map(fuse, members[0].manifest.maps, "images fused"))
    if not settings.layers:
        return maps, ()
    return maps, tuple(
        FusedMember(scaling=scaling, maps=tuple(own[record.id] for record in maps))
        for scaling, own in zip(scalings, records, strict=True)
    )


def main(job: Job) -> None:
    """Fuse all images of the split."""
    settings = job.settings(FuseSettings)
    target = job.target("manifest")
    members = read_members(job.paths("maps"), settings.members)
    maps, parts = (refer(members[0], target), ()) if settings.refers else _fused(job, settings, members)
    first = members[0].manifest
    name = "+".join(member.manifest.detector for member in members)
    manifest = MapsManifest(detector=name, category=first.category, split=first.split, maps=maps, members=parts)
    write_manifest(target, manifest)
    if settings.refers:
        shutil.rmtree(target.with_suffix(""), ignore_errors=True)


run(main, globals())
