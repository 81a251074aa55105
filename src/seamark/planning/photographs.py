"""The photographs of a plan: its categories, what each has, and by what a job notices that some have changed."""

import hashlib
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import cached_property
from itertools import product
from pathlib import Path
from typing import Any

from seamark.data.layout import OFFICIAL_COUNTS, listing_digest, require_official_counts
from seamark.data.root import RootSurvey, survey_root
from seamark.data.survey import CategorySurvey, survey_category
from seamark.errors import ConfigError
from seamark.planning.refusals import require_photographs
from seamark.planning.variations import Variation
from seamark.settings.config import Config
from seamark.settings.demo import DEMO_CATEGORIES
from seamark.submission.expected import PRIVATE_SPLITS, require_complete


class PlannedPhotographs:
    """What lies in the data root, or will when the demo is drawn; no image is opened.

    Parameters
    ----------
    config : Config
        Configuration of the run.

    Raises
    ------
    ConfigError
        If a category of ``data.categories`` is not there.
    DataError
        If the data root is missing, or something in it looks like a category and is not read.
    """

    def __init__(self, config: Config) -> None:
        self._demo, self._data, self._config = config.data.demo, config.data, config
        self.available = DEMO_CATEGORIES if self._demo else tuple(self.folders)
        self.categories = self._categories()

    @cached_property
    def folders(self) -> dict[str, Path]:
        """Folders of the categories of the data root; none before the demo is drawn."""
        return {} if self._demo else self._root.folders

    @cached_property
    def _root(self) -> RootSurvey:
        return survey_root(self._data.root, self._data.layout)

    @property
    def warnings(self) -> tuple[str, ...]:
        """What lies beside the categories and is not read, one sentence each; of others none, if some are named."""
        if self._demo:
            return ()
        every = self._data.categories == "all"
        records = self._root.unrecognised.values()
        return tuple(str(record) for record in records if every or not record.looks_like_data)

    @cached_property
    def _surveys(self) -> dict[str, CategorySurvey]:
        root, layout = self._data.root, self._data.layout
        return {category: survey_category(root, self.folders[category], layout) for category in self.categories}

    def _categories(self) -> tuple[str, ...]:
        if self._data.categories == "all":
            if not self._demo and not self._config.package.allow_partial:
                self._root.require_all()
            return self.available
        missing = [name for name in self._data.categories if name not in self.available]
        if missing and not self._demo:
            raise ConfigError(f"data.categories: {self._root.not_found(missing)}")
        if missing:
            raise ConfigError(
                f"data.categories: {', '.join(missing)} not in the demo, which has {', '.join(self.available)}"
            )
        return self._data.categories

    def require(self, variations: Iterable[Variation]) -> None:
        """Refuse splits without images, and categories with too few for the settings of a run or variation.

        Raises
        ------
        ConfigError, DataError
            Naming the category and what it lacks.
        """
        listed = list(variations)
        for category in self.categories:
            if self._demo:
                require_photographs(category, self._config.demo.train, self._config.demo.validation, listed)
                continue
            found = Counter(image.split for image in self._surveys[category].images)
            if set(self.folders) == set(OFFICIAL_COUNTS):
                require_official_counts(category, found)
            require_photographs(category, found["train"], found["validation"], listed)
            missing = [split for split in self._data.splits if split not in found]
            if missing:
                kept = ", ".join(split for split in self._data.splits if split in found)
                raise ConfigError(
                    f"category {category}: no image for {', '.join(missing)}; add them, or set data.splits: [{kept}]"
                )

    def require_complete(self, private_splits: Sequence[str]) -> None:
        """Refuse a submission of some private splits that leaves out what the data root has.

        Raises
        ------
        SubmissionError
            Naming everything that is missing.
        """
        submitted = [(category, split) for category in self.categories for split in private_splits]
        if self._demo:
            require_complete(self._data.root, self.available, [*product(self.categories, PRIVATE_SPLITS)], submitted)
            return
        held = {(name, image.split) for name, survey in self._surveys.items() for image in survey.images}
        require_complete(self._data.root, (*self.available, *self._root.missing), held, submitted)

    def chosen(self, wildcards: Any) -> dict[str, int]:
        """Return how many photographs of a split are taken, and the seed of their choice; nothing for all."""
        limit = self._data.train_images if wildcards.split == "train" else None
        return {} if limit is None else {"train_images": limit, "seed": self._config.seed}

    def listing(self, wildcards: Any) -> str | None:
        """Return a digest of the files of a category's split, or None for the demo, whose manifest is an input."""
        if self._demo:
            return None
        images = [image for image in self._surveys[wildcards.category].images if image.split == wildcards.split]
        return listing_digest(self._data.root, [name for image in images for name in (image.file, image.mask) if name])

    def passed_over(self, wildcards: Any) -> str | None:
        """Return a digest of what a category has that nothing reads, None for the demo."""
        if self._demo:
            return None
        lines = "\n".join(map(repr, self._surveys[wildcards.category].passed_over))
        return hashlib.sha256(lines.encode()).hexdigest()[:16]

    def truth_listing(self, wildcards: Any) -> str | None:
        """Return a digest of the private truth files of a category's split, None where there are none."""
        if self._demo or self._data.truth_root is None:
            return None
        folder = self._data.truth_root / wildcards.category / wildcards.split
        return listing_digest(folder, sorted(path.name for path in folder.iterdir())) if folder.is_dir() else None
