"""Distil a pretrained backbone's features into the teacher of EfficientAD, once for all categories.

**Inputs** ``demo``: the demo's manifest, present only when the demo is drawn.
**Outputs** ``weights``: safetensors, a patch description network; ``manifest``: where it comes from and how well it
gives the backbone's features on photographs that were held out.
**Params** ``settings``: network, backbone and distillation of a detector's block; ``root``, ``layout``,
``train_images``, ``pixels``: the data root, whose training photographs serve where the settings name no folder, and how
they are decoded; ``seed``: of the run; ``code``: digest of the code that runs here.

While it runs, a checkpoint lies beside the weights; it is used only for the same settings, photographs, code and seed.
Source: docs/methods/efficientad.md#distillation.
"""

import hashlib
from pathlib import Path

from seamark.backbones.pdn import write_teacher
from seamark.data.layout import listing_digest
from seamark.files.atomic import atomic_write, file_digest
from seamark.learning.checkpoints import Checkpoint
from seamark.learning.detector import count_numbers
from seamark.learning.loop import Training
from seamark.manifests.base import write_manifest
from seamark.manifests.teacher import TeacherManifest
from seamark.running.job import Job, run
from seamark.settings.pixels import PixelSettings
from seamark.settings.seed import job_seed
from seamark.settings.teacher import TeacherSettings
from seamark.teachers.distillation import Distiller
from seamark.teachers.photographs import find_photographs, split_photographs


def main(job: Job) -> None:
    """Distil, write the weights, then the manifest, and only then drop the checkpoint."""
    settings, target = job.settings(TeacherSettings), job.target("weights")
    data, seed = job.params, job_seed(job.params, job.rule, job.wildcards)
    files = find_photographs(
        settings.distill, Path(data["root"]), data["layout"], train_images=data["train_images"], seed=data["seed"]
    )
    key = {
        "settings": hashlib.sha256(settings.model_dump_json().encode()).hexdigest(),
        "photographs": listing_digest(Path(), map(str, files)),
        "code": str(job.params["code"]),
        "seed": str(seed),
    }
    checkpoint = Checkpoint(target.with_suffix(".checkpoint"), key)
    train, held_out = split_photographs(files, settings.distill, seed, job.settings(PixelSettings, "pixels"))
    distiller = Distiller(settings, (2 * settings.distill.input_px,) * 2, seed)
    training = Training(
        distiller,
        settings,
        train=train.as_tiles(),
        validation=held_out.as_tiles(),
        checkpoint=checkpoint,
        device=job.device,
        workers=job.threads,
        track=job.track,
    )
    phases, backbone = training.run(), distiller.backbone
    with atomic_write(target) as draft:
        write_teacher(draft, distiller.network, {"backbone": backbone.name, "backbone_verified": backbone.verified})
    clean, corrupted, off = distiller.measures.tolist()
    manifest = TeacherManifest(
        file=target.name,
        sha256=file_digest(target),
        parameters=count_numbers(distiller.network.state_dict()),
        backbone=backbone.name,
        backbone_digest=backbone.digest,
        backbone_verified=backbone.verified,
        photographs=len(train),
        held_out=len(held_out),
        explained_clean=clean,
        explained_corrupted=corrupted,
        features_off=int(off),
        phases=phases,
    )
    write_manifest(job.target("manifest"), manifest)
    checkpoint.remove()


run(main, globals())
