"""Names and places of the teachers that a run needs distilled; planning uses it, so it never imports torch.

A teacher serves all categories and all runs whose settings, seed and photographs are the same: its folder is named by a
digest of them.
"""

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path

from pydantic.main import IncEx

from seamark.data.layout import find_images, limited
from seamark.settings.base import Layout, Settings
from seamark.settings.efficientad import EfficientAdSettings
from seamark.settings.teacher import DISTILLED, TeacherSettings

FOLDER = "out/teachers"
WITHOUT_EFFECT: Mapping[str, IncEx | bool] = {
    "grid": True,
    "feature_cache_mb": True,
    "checkpoint_every_s": True,
    "distill": {"photograph_cache_mb"},
}
"""Settings that change nothing about a teacher."""


def wanted_teacher(block: Settings) -> TeacherSettings | None:
    """Return what a detector's settings want distilled, None for detectors that need no such thing."""
    if isinstance(block, EfficientAdSettings) and block.teacher == DISTILLED:
        return block.teacher_settings
    return None


def teacher_key(settings: TeacherSettings, photographs: str, seed: int, reproducible: str = "this_cpu") -> str:
    """Return the name of a teacher's folder, 16 hexadecimal digits, by settings, digest of the photographs and seed.

    With ``reproducible`` as ``any_cpu`` a teacher has other bits, and a folder of its own.
    """
    facts: list[object] = [settings.model_dump(mode="json", exclude=WITHOUT_EFFECT), photographs, seed]
    facts += [] if reproducible == "this_cpu" else [reproducible]
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:16]


def teacher_path(key: str, suffix: str) -> str:
    """Return where a teacher's file with a suffix lies."""
    return f"{FOLDER}/{key}/teacher{suffix}"


def with_teacher(block: Settings, key: str) -> Settings:
    """Return a detector's settings with the path of its teacher in place of the word for it."""
    return block.model_copy(update={"teacher": teacher_path(key, ".safetensors")})


def training_photographs(
    root: Path, folders: Mapping[str, Path], layout: Layout, limit: int | None, seed: int
) -> list[Path]:
    """Return the training photographs of all categories of a data root, sorted by category and name."""
    return [
        root / image.file
        for _, folder in sorted(folders.items())
        for image in limited(find_images(root, folder, layout), limit, seed)
        if image.split == "train"
    ]


def folder_digest(folder: Path) -> str:
    """Return a digest of a folder's path and of names and times of the folders in it, which notice new photographs.

    A million photographs would take longer to look at than planning a run may take.
    """
    digest = hashlib.sha256(f"{folder}\0".encode())
    if folder.is_dir():
        digest.update(f"{folder.stat().st_mtime_ns}\n".encode())
        with os.scandir(folder) as entries:
            inner = sorted((entry.name, entry.stat().st_mtime_ns) for entry in entries if entry.is_dir())
        digest.update(json.dumps(inner).encode())
    return digest.hexdigest()[:16]
