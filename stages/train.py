"""Train one detector on the defect-free tiles of one category, or on those that are not of one fold.

**Inputs** ``train``, ``validation``: tiles manifests; ``train_npy``, ``validation_npy``: uint8 (T, H, W, C) tiles.
**Outputs** ``model``: safetensors, everything training made; ``manifest``: model manifest with loss curves (fit.json).
**Params** ``detector``: ``module:Class``; ``name``: its name in the configuration; ``settings``: its block;
``code``: digest of the code that runs here; ``crossfit``: number of folds, where the wildcard ``fold`` names one.

While it runs, a checkpoint lies beside the model; it is used only for the same settings, tiles, code and seed.
"""

import hashlib

from seamark.files.atomic import atomic_write, file_digest
from seamark.learning.checkpoints import Checkpoint
from seamark.learning.crossfit import LeftOut, left_out
from seamark.learning.detector import count_numbers, load_detector_class
from seamark.learning.loop import Training
from seamark.learning.stored_models import write_model
from seamark.manifests.base import read_manifest, write_manifest
from seamark.manifests.model import ModelManifest
from seamark.manifests.tiles import TilesManifest
from seamark.running.job import Job, run
from seamark.settings.crossfit import CrossfitSettings
from seamark.settings.seed import job_seed
from seamark.tiles.geometry import own_parts
from seamark.tiles.stored import open_tiles


def main(job: Job) -> None:
    """Train, write the model, then the manifest, and only then drop the checkpoint."""
    train, validation = (read_manifest(job.path(name), TilesManifest) for name in ("train", "validation"))
    kind = load_detector_class(job.params["detector"])
    settings = job.settings(kind.Settings)
    fold = job.wildcards.get("fold")
    seed = job_seed(job.params, job.rule, job.wildcards)
    unseen = left_out(train, int(fold), job.settings(CrossfitSettings, "crossfit")) if fold else LeftOut()
    key = {
        "detector": str(job.params["detector"]),
        "settings": hashlib.sha256(settings.model_dump_json().encode()).hexdigest(),
        "training tiles": train.sha256,
        "left out": str(unseen.tiles),
        "validation tiles": validation.sha256,
        "code": str(job.params["code"]),
        "seed": str(seed),
    }
    target = job.target("model")
    checkpoint = Checkpoint(target.with_suffix(".checkpoint"), key)
    detector = kind(settings, train.shape[1:3], seed)
    training = Training(
        detector,
        settings,
        train=open_tiles(job.path("train_npy"), train),
        validation=open_tiles(job.path("validation_npy"), validation),
        left_out=unseen.tiles,
        own=[box for image in train.images for box in own_parts(image.width, image.height, train.grid)],
        checkpoint=checkpoint,
        device=job.device,
        workers=job.threads,
        track=job.track,
    )
    phases = training.run()
    with atomic_write(target) as draft:
        write_model(draft, detector, settings)
    manifest = ModelManifest(
        detector=str(job.params["name"]),
        category=train.category,
        file=target.name,
        sha256=file_digest(target),
        parameters=count_numbers(detector.state()),
        backbone=settings.backbone,
        backbone_digest=detector.backbone.digest,
        backbone_verified=detector.backbone.verified,
        map_shape=detector.map_shape,
        phases=phases,
        left_out=unseen.images,
    )
    write_manifest(job.target("manifest"), manifest)
    checkpoint.remove()


run(main, globals())
