"""Number and sizes of a category's photographs, without decoding any. Free of NumPy, as planning is."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from seamark.data.layout import find_images, limited
from seamark.errors import ManifestError
from seamark.files.plain import FORMATS, GREY_MODES, UNREADABLE, require_plain_file
from seamark.manifests.base import read_manifest
from seamark.manifests.index import IndexManifest
from seamark.settings.base import Split
from seamark.settings.config import Config
from seamark.settings.grid import GridSettings
from seamark.submission.expected import OFFICIAL_SIZES
from seamark.tiles.geometry import map_shape, tile_count

DEMO_SIZES = {"woven": (1480, 840, 1), "washers": (1040, 1280, 3)}
"""Width and height in px and channels of a full-size photograph of the demo."""
LIGHTS = 6
"""Photographs of each public scene of the demo."""
LARGEST_OFFICIAL = (2448, 2048, 3)
"""What is assumed of a photograph whose header cannot be read: the most pixels that MVTec AD 2 has."""

Size = tuple[int, int, int]
"""Width and height in px, channels."""


@dataclass(frozen=True)
class PhotographSizes:
    """Every size in px with the number of photographs that have it, or are taken to have it."""

    sizes: tuple[tuple[Size, int], ...] = ()

    @classmethod
    def of(cls, sizes: Iterable[Size]) -> "PhotographSizes":
        """Count photographs of some sizes."""
        return cls(tuple(sorted(Counter(sizes).items())))

    def __add__(self, other: "PhotographSizes") -> "PhotographSizes":
        counts = Counter(dict(self.sizes))
        counts.update(dict(other.sizes))
        return PhotographSizes(tuple(sorted(counts.items())))

    def times(self, number: int) -> "PhotographSizes":
        """Return as many of each photograph."""
        return PhotographSizes(tuple((size, count * number) for size, count in self.sizes if number))

    def every(self, step: int) -> "PhotographSizes":
        """Return one of so many photographs of each size, rounded up."""
        return PhotographSizes(tuple((size, -(-count // step)) for size, count in self.sizes))

    def without(self, step: int) -> "PhotographSizes":
        """Return what is left of each size without one of so many photographs."""
        return PhotographSizes(tuple((size, count - -(-count // step)) for size, count in self.sizes))

    @property
    def count(self) -> int:
        """Number of photographs."""
        return sum(number for _, number in self.sizes)

    @property
    def channels(self) -> int:
        """1 if all are grey, otherwise 3."""
        return max((channels for (_, _, channels), _ in self.sizes), default=1)

    def pixels(self, scale: float = 1.0) -> int:
        """Return the pixels of all photographs, or of their anomaly maps at a share of their size."""
        return sum(_pixels(size, scale) * number for size, number in self.sizes)

    def largest_pixels(self, scale: float = 1.0) -> int:
        """Return the pixels of the largest photograph or map; 0 without any."""
        return max((_pixels(size, scale) for size, _ in self.sizes), default=0)

    def tiles(self, grid: GridSettings) -> int:
        """Return the number of tiles of all photographs."""
        return sum(tile_count(width, height, grid) * number for (width, height, _), number in self.sizes)


NONE = PhotographSizes()


def _pixels(size: Size, scale: float) -> int:
    height, width = map_shape((size[1], size[0]), scale)
    return height * width


class DataSetSizes:
    """Sizes of the photographs of a run by category and split.

    The demo's are known before it is drawn. Otherwise the index manifest of a category tells them, if it lists the
    files that are there; if not, the largest file of each split is opened and all photographs of the split are taken to
    be of its size. An unreadable header is no error here: ``index`` will say what is wrong with the file.

    Parameters
    ----------
    config : Config
        Of the run.
    folders : mapping of str to Path
        Folder of every category; not used for the demo.
    """

    def __init__(self, config: Config, folders: Mapping[str, Path]) -> None:
        self._config, self._folders = config, folders
        self._known: dict[str, dict[Split, PhotographSizes]] = {}

    def of(self, category: str, splits: Sequence[Split]) -> PhotographSizes:
        """Return the photographs of some splits of a category."""
        if category not in self._known:
            self._known[category] = self._demo(category) if self._config.data.demo else self._found(category)
        known = self._known[category]
        return sum((known[split] for split in splits if split in known), NONE)

    def _demo(self, category: str) -> dict[Split, PhotographSizes]:
        settings = self._config.demo
        width, height, channels = DEMO_SIZES[category]
        size = round(width * settings.scale), round(height * settings.scale), channels
        private = settings.private_good + settings.private_bad
        kept = self._config.data.train_images
        counts: dict[Split, int] = {
            "train": settings.train if kept is None else min(kept, settings.train),
            "validation": settings.validation,
            "test_public": LIGHTS * (settings.public_good + settings.public_bad),
            "test_private": private,
            "test_private_mixed": private,
        }
        return {split: PhotographSizes(((size, count),)) for split, count in counts.items()}

    def _found(self, category: str) -> dict[Split, PhotographSizes]:
        data, files = self._config.data, dict[Split, list[str]]()
        listed = find_images(data.root, self._folders[category], data.layout)
        for image in limited(listed, data.train_images, self._config.seed):
            files.setdefault(image.split, []).append(image.file)
        indexed = self._indexed(category)
        return {
            split: PhotographSizes.of(
                [indexed[name] for name in names]
                if indexed.keys() >= set(names)
                else [self._largest(category, names)] * len(names)
            )
            for split, names in files.items()
        }

    def _indexed(self, category: str) -> dict[str, Size]:
        """Sizes of the photographs by file as far as readable index manifests tell them."""
        known: dict[str, Size] = {}
        for split in ("train", *self._config.data.splits):
            path = Path("out") / self._config.run / "00_index" / category / f"{split}.json"
            with suppress(ManifestError):
                images = read_manifest(path, IndexManifest).images
                known |= {image.file: (image.width, image.height, image.channels) for image in images}
        return known

    def _largest(self, category: str, names: Sequence[str]) -> Size:
        size = _header_size(max((self._config.data.root / name for name in names), key=_file_bytes))
        if size and size[0] * size[1] <= self._config.data.image_px_max:
            return size
        return (*OFFICIAL_SIZES[category], 3) if category in OFFICIAL_SIZES else LARGEST_OFFICIAL


def _file_bytes(path: Path) -> int:
    """Size of a file, 0 for a link that leads nowhere."""
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _header_size(path: Path) -> Size | None:
    """Width and height in px and channels from an image's header, None if it cannot be read."""
    from PIL import Image  # noqa: PLC0415  (planning the demo, or what is indexed, never needs it)

    try:
        require_plain_file(path, 1 << 63)
        with Image.open(path, formats=FORMATS) as image:
            return image.width, image.height, 1 if image.mode in GREY_MODES else 3
    except (*UNREADABLE, Image.DecompressionBombError):
        return None
