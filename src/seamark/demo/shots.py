"""The demo's photographs: scenes, lights and the names of their files."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from seamark.demo.lights import LIGHTS
from seamark.demo.scene import generator
from seamark.settings.demo import DemoSettings

Group = Literal["train", "validation", "public_good", "public_bad", "private_good", "private_bad"]
"""Scenes that share a purpose; they are numbered from 0 in each group."""


@dataclass(frozen=True)
class SceneKey:
    """What a scene is drawn from, together with the seed and the scale."""

    category: str
    group: Group
    number: int

    def parts(self) -> tuple[str, str, int]:
        """Return the key as the words of a random generator."""
        return self.category, self.group, self.number

    @property
    def bad(self) -> bool:
        """Whether the scene has defects."""
        return self.group.endswith("_bad")


@dataclass(frozen=True)
class Shot:
    """One photograph of a scene."""

    light: str
    """Name in :data:`seamark.demo.lights.LIGHTS`."""
    file: str
    """Photograph, relative to the folder of the category."""
    mask: str | None
    """Public mask, relative to the folder of the category."""
    private_mask: str | None
    """Mask kept apart, relative to the folder of the category in the truth root."""


@dataclass(frozen=True)
class PlannedScene:
    """A scene and all its photographs."""

    key: SceneKey
    shots: tuple[Shot, ...]

    @property
    def id(self) -> str:
        """Name of the scene in messages."""
        return f"{self.key.group} {self.key.number:03d}"


def _good(split: str, number: int) -> tuple[Shot, ...]:
    return (Shot("regular", f"{split}/good/{number:03d}_regular.png", None, None),)


def _public(label: str, number: int) -> tuple[Shot, ...]:
    masks = "test_public/ground_truth/bad"
    return tuple(
        Shot(
            light,
            f"test_public/{label}/{number:03d}_{light}.png",
            f"{masks}/{number:03d}_{light}_mask.png" if label == "bad" else None,
            None,
        )
        for light in LIGHTS
    )


def _private(index: int, mixed: str) -> tuple[Shot, ...]:
    mask = f"{index:03d}_mask.png"
    return (
        Shot("regular", f"test_private/{index:03d}_regular.png", None, f"test_private/{mask}"),
        Shot(mixed, f"test_private_mixed/{index:03d}_mixed.png", None, f"test_private_mixed/{mask}"),
    )


def _private_order(category: str, settings: DemoSettings) -> list[SceneKey]:
    """Shuffle good and bad scenes so that an index does not give the label away; counts do not change the order."""
    keys = [SceneKey(category, "private_good", number) for number in range(settings.private_good)]
    keys += [SceneKey(category, "private_bad", number) for number in range(settings.private_bad)]
    return sorted(keys, key=lambda key: float(generator(settings.seed, *key.parts(), "order").random()))


def mixed_light(key: SceneKey, seed: int) -> str:
    """Return the name of the light that a private scene has in ``test_private_mixed``."""
    names = list(LIGHTS)
    return names[int(generator(seed, *key.parts(), "mixed").integers(len(names)))]


def shots_of(category: str, settings: DemoSettings) -> Iterator[PlannedScene]:
    """List every scene of a category with its photographs, in the order of the splits."""
    for number in range(settings.train):
        yield PlannedScene(SceneKey(category, "train", number), _good("train", number))
    for number in range(settings.validation):
        yield PlannedScene(SceneKey(category, "validation", number), _good("validation", number))
    for number in range(settings.public_good):
        yield PlannedScene(SceneKey(category, "public_good", number), _public("good", number))
    for number in range(settings.public_bad):
        yield PlannedScene(SceneKey(category, "public_bad", number), _public("bad", number))
    for index, key in enumerate(_private_order(category, settings)):
        yield PlannedScene(key, _private(index, mixed_light(key, settings.seed)))
