"""The categories of the demo: how each is drawn and which defects it has."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, Literal

import numpy as np

from seamark.demo import washers_defects, woven_defects
from seamark.demo.scene import AnyScene, Defect, Point
from seamark.demo.washers import draw_tray
from seamark.demo.woven import draw_cloth

SMALLEST_DEFECT_PX = 5
"""A defect that leaves fewer pixels, for example because it lies outside the image, is drawn again elsewhere."""


@dataclass(frozen=True)
class Category(Generic[AnyScene]):
    """A product of the demo."""

    shape: tuple[int, int]
    """Height and width of a full-size image in px."""
    channels: Literal[1, 3]
    draw: Callable[[np.random.Generator, tuple[int, int], float], AnyScene]
    """Draws a defect-free scene from a generator, a height and width in px, and a scale."""
    large: tuple[Defect[AnyScene], ...]
    """Main defects, taken in turn."""
    small: tuple[Defect[AnyScene], ...]
    """Defects that may come on top; the last is the smallest."""
    at_border: tuple[Defect[AnyScene], ...]
    """Main defects that can lie across the border of the image."""


CATEGORIES: dict[str, Category[Any]] = {
    "woven": Category((840, 1480), 1, draw_cloth, woven_defects.LARGE, woven_defects.SMALL, woven_defects.LARGE),
    "washers": Category(
        (1280, 1040), 3, draw_tray, washers_defects.LARGE, washers_defects.SMALL, washers_defects.AT_BORDER
    ),
}
"""Every category of the demo by its name."""


def _somewhere(rng: np.random.Generator, shape: tuple[int, int]) -> Point:
    x, y = rng.uniform(0.06, 0.94, 2)
    return x * shape[1], y * shape[0]


def _at_border(rng: np.random.Generator, shape: tuple[int, int]) -> Point:
    along, side = rng.uniform(0.15, 0.85), int(rng.integers(4))
    x, y = ((along, 0.0), (along, 1.0), (0.0, along), (1.0, along))[side]
    return x * (shape[1] - 1), y * (shape[0] - 1)


def add_defects(category: Category[AnyScene], scene: AnyScene, rng: np.random.Generator, turn: int) -> None:
    """Draw one to three defects into a defect-free scene, in place, its mask included.

    ``turn`` is the number of the scene. Main defects go round; every third scene has one across the border of the
    image, and every third one a tiny one as well.
    """
    main = category.large[turn % len(category.large)]
    place = _somewhere
    if turn % 3 == 2:
        place = _at_border
        if main not in category.at_border:
            main = category.at_border[turn % len(category.at_border)]
    extras = list(rng.permutation(len(category.small) - 1)[: int(rng.integers(0, 2))])
    if turn % 3 == 1:
        extras.append(len(category.small) - 1)
    _draw_until_visible(main, scene, rng, place)
    for extra in extras:
        _draw_until_visible(category.small[int(extra)], scene, rng, _somewhere)


def _draw_until_visible(
    defect: Defect[AnyScene],
    scene: AnyScene,
    rng: np.random.Generator,
    place: Callable[[np.random.Generator, tuple[int, int]], Point],
) -> None:
    before = int(scene.mask.sum())
    while int(scene.mask.sum()) < before + SMALLEST_DEFECT_PX:
        defect(scene, rng, place(rng, scene.shape))
