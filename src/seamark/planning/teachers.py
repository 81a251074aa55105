"""The teachers that the detectors of a plan need distilled. Free of torch, as planning is."""

from collections.abc import Callable
from functools import cache, cached_property
from pathlib import Path

from seamark.data.layout import listing_digest
from seamark.data.root import category_folders
from seamark.settings.base import Settings
from seamark.settings.config import Config
from seamark.settings.pixels import PixelSettings
from seamark.settings.teacher import TeacherSettings
from seamark.teachers.naming import folder_digest, teacher_key, training_photographs, wanted_teacher, with_teacher


class PlannedTeachers:
    """Names and files of teachers; a run and its variations have the photographs and the seed in common.

    Parameters
    ----------
    config : Config
        Configuration of the run.
    """

    def __init__(self, config: Config) -> None:
        self._config = config

    def key(self, settings: TeacherSettings) -> str:
        """Return the name of a teacher's folder."""
        photographs = self._photographs(settings.distill.image_folder)
        return teacher_key(settings, photographs, self._config.seed, self._config.reproducible)

    def of(self, block: Settings) -> str | None:
        """Return the name of the teacher that a detector needs distilled, None for other detectors."""
        wanted = wanted_teacher(block)
        return self.key(wanted) if wanted else None

    def taught(self, block: Settings) -> Settings:
        """Return a detector's block with the path of its teacher where one is distilled for it."""
        key = self.of(block)
        return with_teacher(block, key) if key else block

    @cached_property
    def _photographs(self) -> Callable[[str | None], str]:
        """Digest of the photographs that a teacher learns from, of a folder or of the data root."""
        data, seed = self._config.data, self._config.seed

        def digest(folder: str | None) -> str:
            if folder is not None:
                return folder_digest(Path(folder))
            if data.demo:
                return f"{data.root} {self._config.demo.model_dump_json()} {data.train_images}"
            folders = category_folders(data.root, data.layout)
            files = training_photographs(data.root, folders, data.layout, data.train_images, seed)
            decoded = "" if data.pixels == PixelSettings() else data.pixels.model_dump_json()
            return listing_digest(Path(), map(str, files)) + decoded

        return cache(digest)
