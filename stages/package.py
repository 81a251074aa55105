"""Write the private splits of all categories as a checked submission archive.

**Inputs**

- ``index``: index manifests (JSON), one per category and split
- ``maps``: manifests of the fused maps, one per category and private split; float32 TIFFs, raw scores, lie beside them
- ``calibration``: manifests of the score statistics, one per category; empty unless the maps are fitted to them
- ``masks``: manifests of the final masks, in the same order; 0/255 PNGs of image size lie beside them

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

from seamark.data.layout import find_images
from seamark.data.root import survey_root
from seamark.errors import SubmissionError
from seamark.files.atomic import atomic_siblings, file_digest
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
from seamark.submission.expected import PRIVATE_SPLITS, expected_submission, require_complete
from seamark.submission.images import images_to_submit
from seamark.submission.seen_photographs import seen_test_photographs
from seamark.submission.writing import pack_submission, write_submission


def main(job: Job) -> None:
    """Write folder, check report, archive and provenance of one run."""
    settings = job.settings(PackageSettings)
    archive, check, provenance = (job.target(name) for name in ("archive", "check", "provenance"))
    challenges = tuple(ChallengeVerdict.model_validate(verdict) for verdict in job.params["challenges"])
    indexes = [read_manifest(path, IndexManifest) for path in job.paths("index")]
    if seen := seen_test_photographs(image for index in indexes for image in index.images):
        challenges = tuple(verdict.with_breach(seen) for verdict in challenges)
    if refusals := [refusal for verdict in challenges if (refusal := verdict.refusal())]:
        raise SubmissionError("\n".join(refusals))
    maps = {path: read_manifest(path, MapsManifest) for path in job.paths("maps")}
    masks = {path: read_manifest(path, MasksManifest) for path in job.paths("masks")}
    images = images_to_submit(indexes, maps, masks)
    counts = Counter((image.category, image.split) for image in images)
    if not settings.allow_partial:
        root, layout = Path(job.params["root"]), indexes[0].layout
        survey = survey_root(root, layout)
        held = {(name, it.split) for name, _ in counts for it in find_images(root, survey.folders[name], layout)}
        require_complete(root, (*survey.folders, *survey.missing), held, counts)
    ranking = RankingSettings.model_validate(job.params["ranking"] or {})
    fits = validation_fits(ranking, job.paths("calibration"), maps.values())
    splits = [split for split in PRIVATE_SPLITS if any(image.split == split for image in images)]
    expected = expected_submission(indexes, splits, settings.map_scale, settings.image_scale)
    folder = archive.with_name(job.params["run"])
    with atomic_siblings(archive, folder, check, provenance) as drafts:
        written = write_submission(drafts / folder.name, images, expected, job.map, fits)
        report, digest = pack_submission(
            drafts / folder.name,
            expected,
            drafts / archive.name,
            drafts / check.name,
            job.map,
            refused=check.with_suffix(".failed.json"),
            known=written.facts,
            challenges=challenges,
            warnings=(f"test photographs were learned from: {seen.spelled()}; {seen.remedy}",) if seen else (),
            threads=job.threads,
        )
        write_manifest(
            drafts / provenance.name,
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
