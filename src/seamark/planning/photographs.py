"""The photographs of a plan: its categories, what each has, and by what a job notices that some have changed."""

import hashlib
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import cached_property
from itertools import product
from pathlib import Path
from typing import Any

from seamark.data.layout import OFFICIAL_COUNTS, FoundImage, listing_digest, require_official_counts
from seamark.data.listing import mask_files
from seamark.data.root import RootSurvey, survey_root
from seamark.data.survey import CategorySurvey, survey_category
from seamark.errors import ConfigError
from seamark.files.plain import looked_for, shown
from seamark.planning.refusals import require_photographs
from seamark.planning.variations import Variation
from seamark.settings.base import Split
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
        """What is not read, one sentence each: beside the categories, unless some are named, and no private truth."""
        if self._demo:
            return ()
        every = self._data.categories == "all"
        records = self._root.unrecognised.values()
        unread = [str(record) for record in records if every or not record.looks_like_data]
        unknown = [place for place, known in self._truth.items() if not known]
        where = f"{self._data.truth_root} has no folder {', '.join(map(shown, unknown))}"
        warning = f"data.truth_root: {where}; what is good and bad there counts as unknown"
        return (*unread, *([warning] if unknown else []))

    @cached_property
    def _truth(self) -> dict[str, bool]:
        """Whether the private truth of a category's split has a folder, by its place below ``data.truth_root``."""
        root = self._data.truth_root
        if self._demo or root is None:
            return {}
        pairs = product(self.categories, (split for split in self._data.splits if split in PRIVATE_SPLITS))
        return {place: (root / place).is_dir() for place in map("/".join, pairs)}

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

    @cached_property
    def learned(self) -> dict[str, tuple[int, int]]:
        """Photographs for train, before ``data.train_images`` leaves some out, and for validation by category."""
        if self._demo:
            return dict.fromkeys(self.categories, (self._config.demo.train, self._config.demo.validation))
        counts = {category: self._counts(category) for category in self.categories}
        return {category: (found["train"], found["validation"]) for category, found in counts.items()}

    def _counts(self, category: str) -> Counter[Split]:
        return Counter(image.split for image in self._surveys[category].images)

    def require(self, variations: Iterable[Variation]) -> None:
        """Refuse splits without images, and categories with too few for the settings of a run or variation.

        Raises
        ------
        ConfigError, DataError
            Naming the category and what it lacks, or the truth root if nothing in it is read.
        """
        truth_root = self._data.truth_root
        if truth_root is not None and self._truth and not any(self._truth.values()):
            raise ConfigError(
                f"data.truth_root: {looked_for(truth_root)} has no folder {next(iter(self._truth))}, nor that of "
                "another category and private split; correct the path, or the names in it, or set it to null if no "
                "private truth is known"
            )
        listed = list(variations)
        for category in self.categories:
            if self._demo:
                require_photographs(category, *self.learned[category], listed)
                continue
            found = self._counts(category)
            if set(self.folders) == set(OFFICIAL_COUNTS):
                require_official_counts(category, found)
            require_photographs(category, *self.learned[category], listed)
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

    @property
    def pixels(self) -> dict[str, Any]:
        """How photographs are decoded, as params of a job."""
        return self._data.pixels.model_dump(mode="json")

    def listing(self, wildcards: Any) -> str | None:
        """Return a digest of the photographs of a category's split, or None for the demo, whose manifest is an input.

        Of masks only their names count: what is in them is read by the truth alone.
        """
        if self._demo:
            return None
        images = self._images(wildcards)
        names = hashlib.sha256("\n".join(image.mask or "" for image in images).encode()).hexdigest()[:16]
        return f"{listing_digest(self._data.root, [image.file for image in images])} {names}"

    def passed_over(self, wildcards: Any) -> str | None:
        """Return a digest of what a category has that nothing reads, None for the demo."""
        if self._demo:
            return None
        lines = "\n".join(map(repr, self._surveys[wildcards.category].passed_over))
        return hashlib.sha256(lines.encode()).hexdigest()[:16]

    def truth_listing(self, wildcards: Any) -> str | None:
        """Return digests of the masks of a category's split and of its private truth, None for the demo."""
        if self._demo:
            return None
        root = self._data.root
        masks = [file for image in self._images(wildcards) if image.mask for file in mask_files(root / image.mask)]
        digests = [listing_digest(root, [str(file.relative_to(root)) for file in masks])]
        if self._truth.get(f"{wildcards.category}/{wildcards.split}") and self._data.truth_root is not None:
            folder = self._data.truth_root / wildcards.category / wildcards.split
            digests.append(listing_digest(folder, sorted(path.name for path in folder.iterdir())))
        return " ".join(digests)

    def _images(self, wildcards: Any) -> list[FoundImage]:
        return [image for image in self._surveys[wildcards.category].images if image.split == wildcards.split]
