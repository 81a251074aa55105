"""Write the private splits of all categories as a checked submission archive.

**Inputs**

- ``index``: index manifests (JSON), one per category and split
- ``maps``: manifests of the fused maps, one per category and private split; float32 TIFFs, raw scores, lie beside them
- ``calibration``: manifests of the score statistics, one per category; empty unless the maps are fitted to them
- ``masks``: manifests of the refined masks, in the same order; 0/255 PNGs of image size lie beside them

**Outputs**

- ``archive``: ``{run}.tar.gz``; the folder ``{run}`` beside it holds the same files: float16 TIFF maps, 8-bit PNG masks
- ``check``: ``CheckReport`` (JSON): every rule of the benchmark's checker and ours, warnings, counts
- ``provenance``: ``SubmissionProvenance`` (JSON): digests of all manifests, settings, versions, what float16 cost

**Params**

- ``settings``: ``PackageSettings``
- ``ranking``: ``RankingSettings``, None without a fit
- ``run``: name of the run and of the folder
- ``root``: data root, whose categories a complete submission covers
- ``challenges``: what the rules of each challenge say about the settings of the run, ``ChallengeVerdict`` blocks

Source: docs/methods/mvtec_ad2.md#counts and docs/methods/mvtec_ad2.md#submission.
"""

from collections import Counter
from pathlib import Path

from seamark.errors import SubmissionError
from seamark.files.atomic import atomic_folder, file_digest
from seamark.manifests.base import read_manifest, write_manifest
from seamark.manifests.index import IndexManifest
from seamark.manifests.maps import MapsManifest
from seamark.manifests.masks import MasksManifest
from seamark.manifests.submission import ChallengeVerdict, SubmissionProvenance
from seamark.maps.quantile_fit import validation_fits
from seamark.running.job import Job, run
from seamark.running.provenance import package_versions
from seamark.settings.package import PackageSettings
from seamark.settings.ranking import RankingSettings
from seamark.submission.expected import PRIVATE_SPLITS, expected_submission
from seamark.submission.images import images_to_submit, require_complete
from seamark.submission.seen_photographs import seen_test_photographs
from seamark.submission.writing import pack_submission, write_submission


def main(job: Job) -> None:
    """Write folder, check report, archive and provenance of one run."""
    settings, archive = job.settings(PackageSettings), job.target("archive")
    for name in ("archive", "check", "provenance"):
        job.target(name).unlink(missing_ok=True)
    challenges = tuple(ChallengeVerdict.model_validate(verdict) for verdict in job.params["challenges"])
    indexes = [read_manifest(path, IndexManifest) for path in job.paths("index")]
    if seen := seen_test_photographs(image for index in indexes for image in index.images):
        challenges = tuple(verdict.with_breach(seen) for verdict in challenges)
    if refusals := [refusal for verdict in challenges if (refusal := verdict.refusal())]:
        raise SubmissionError("\n".join(refusals))
    maps = {path: read_manifest(path, MapsManifest) for path in job.paths("maps")}
    masks = {path: read_manifest(path, MasksManifest) for path in job.paths("masks")}
    images = images_to_submit(indexes, maps, masks)
    if not settings.allow_partial:
        packaged = {(image.category, image.split) for image in images}
        require_complete(Path(job.params["root"]), indexes[0].layout, packaged)
    ranking = RankingSettings.model_validate(job.params["ranking"] or {})
    fits = validation_fits(ranking, job.paths("calibration"), maps.values())
    folder = archive.with_name(job.params["run"])
    splits = [split for split in PRIVATE_SPLITS if any(image.split == split for image in images)]
    expected = expected_submission(indexes, splits, settings.map_scale, settings.image_scale)
    with atomic_folder(folder) as draft:
        written = write_submission(draft, images, expected, job.map, fits)
    check = job.target("check")
    report, digest = pack_submission(
        folder,
        expected,
        archive,
        check,
        job.map,
        known=written.facts,
        challenges=challenges,
        warnings=(f"test photographs were learned from: {seen.spelled()}; {seen.remedy}",) if seen else (),
        threads=job.threads,
    )
    counts = Counter((image.category, image.split) for image in images)
    write_manifest(
        job.target("provenance"),
        SubmissionProvenance(
            run=job.params["run"],
            archive=archive.name,
            archive_sha256=digest,
            archive_bytes=report.archive_bytes or 0,
            settings=settings.model_dump(),
            manifests={str(path): file_digest(path) for paths in job.inputs.values() for path in paths},
            versions=package_versions(),
            images={name: {split: counts[name, split] for split in splits} for name, _ in sorted(counts)},
            precision=written.precision,
            ranking=fits,
        ),
    )


run(main, globals())
