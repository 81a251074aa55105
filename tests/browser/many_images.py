"""A report of many images: the records of a small run, repeated under new names, over the files of a few images."""

from tests.stages.small_run import SmallRun
from tests.verdicts import answer_of, p_of

from seamark.manifests.base import read_manifest, write_manifest
from seamark.manifests.calibration import CalibrationManifest
from seamark.manifests.evaluation import EvaluationManifest
from seamark.manifests.index import IndexManifest
from seamark.manifests.masks import MasksManifest
from seamark.manifests.preview import PreviewManifest
from seamark.manifests.verdict import VerdictManifest

SPLIT = "test_public"


def peak_of(number):
    return 1.0 + (number * 7919 % 10007) / 1000.0


def bad_of(number):
    """Whether an image is bad: images of a small run are good and bad in turn."""
    return bool(number % 2)


def f1_of(number):
    return (number * 37 % 101) / 100.0


def repeated(records, count, **changes):
    """``count`` records of the split in turn, each with an id of its own; other splits stay."""
    others = [record for record in records if getattr(record, "split", SPLIT) != SPLIT]
    ours = [record for record in records if getattr(record, "split", SPLIT) == SPLIT]
    copies = []
    for number in range(count):
        record = ours[number % len(ours)]
        folder, name = record.id.split("/")
        update = {"id": f"{folder}/{number:04d}_{name.split('_', 1)[1]}"}
        copies.append(record.model_copy(update=update | {key: value(number) for key, value in changes.items()}))
    return (*others, *copies)


def report_of_many_images(folder, count, categories=("grey",)):
    """Write the report of a run with ``count`` images per category in one split; return the path of the page."""
    run = SmallRun(folder, categories=categories)
    for category in categories:
        run.lists["preview"].append(run.preview(category, SPLIT))
        multiply(run, category, count)
    run.report()
    return run.out / "report/index.html"


def multiply(run, category, count):
    def rewrite(path, kind, field, **changes):
        manifest = read_manifest(path, kind)
        records = repeated(getattr(manifest, field), count, **changes)
        write_manifest(path, manifest.model_copy(update={field: records}))

    rewrite(run.path("00_index", category, SPLIT), IndexManifest, "images")
    rewrite(run.path("80_preview", category, SPLIT), PreviewManifest, "strips")
    for stage_name in ("60_coarse", "75_verdicts"):
        rewrite(run.path(stage_name, category, SPLIT), MasksManifest, "masks")
    scores = {"peak": peak_of, "refined_f1": f1_of}
    rewrite(run.out / "90_eval" / f"{category}.json", EvaluationManifest, "images", **scores)
    said = {"score": peak_of, "p": lambda number: p_of(peak_of(number))}
    said["answer"] = lambda number: answer_of(peak_of(number))
    rewrite(run.path("75_verdicts", category, f"{SPLIT}.verdicts"), VerdictManifest, "images", **said)
    path = run.path("50_calibration", category, SPLIT)
    calibration = read_manifest(path, CalibrationManifest)
    images = repeated(calibration.statistics.images, count, maximum=peak_of)
    statistics = calibration.statistics.model_copy(update={"images": images})
    write_manifest(path, calibration.model_copy(update={"statistics": statistics}))
