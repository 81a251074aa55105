"""Where each layout has photographs and masks, and where those belong that lie elsewhere."""

import re
from dataclasses import dataclass

from seamark.data.layout import Layout
from seamark.data.listing import meant

OR_HIDE = "or leave it out with a dot before its name"


@dataclass(frozen=True)
class Places:
    """Folders of a layout, below that of a category."""

    photographs: re.Pattern[str]
    masks: re.Pattern[str]
    masked: str
    """Folder of the photographs that belong to a folder of masks, as a replacement for its pattern."""
    branches: frozenset[str]
    """Folders that hold nothing but folders."""
    homes: dict[str, str]
    """Where the photographs of a split belong, by the name of its folder."""
    bad: str
    """Where photographs of defects belong."""
    truth: str
    """Where their masks belong."""

    def reads(self, folder: str) -> bool:
        """Whether the layout has photographs or masks in a folder."""
        return bool(self.photographs.fullmatch(folder) or self.masks.fullmatch(folder))

    def unread(self, folder: str) -> str | None:
        """Return the first folder on the way to one that the layout does not have; None if it has them all."""
        parts = folder.split("/")
        ways = ("/".join(parts[: number + 1]) for number in range(len(parts)))
        return next((way for way in ways if way not in self.branches and not self.reads(way)), None)

    def home(self, folder: str) -> str | None:
        """Return where the photographs of a folder belong that the layout does not have; None where nothing tells."""
        parent, _, name = folder.rpartition("/")
        if self.photographs.fullmatch(parent):
            return f"{parent}/" + ("" if "/" in parent else " itself (its labels are those of data.truth_root)")
        if parent:
            return self._beside_good(parent, meant(name, ("good", "bad")))
        if split := meant(name, self.homes):
            return self.homes[split]
        if meant(name, ("bad",)):
            return self.bad
        return self.any_home if meant(name, ("good", "train", "validation", "test")) else None

    def _beside_good(self, parent: str, label: str | None) -> str:
        """Return where the photographs of a folder beside ``good`` belong: in a split without defects, who knows."""
        good = f"{parent}/good/" if self.reads(f"{parent}/good") else None
        if good and label is None and parent in ("train", "validation"):
            return f"{good}, or where they show defects into {self.bad} and their masks into {self.truth}"
        return good if good and label == "good" else self.bad

    @property
    def any_home(self) -> str:
        """All places of photographs."""
        return ", ".join(dict.fromkeys(self.homes.values()))


PLACES: dict[Layout, Places] = {
    "mvtec_ad_2": Places(
        photographs=re.compile("(train|validation)/good|test_public/(good|bad)|test_private(_mixed)?"),
        masks=re.compile("test_public/ground_truth/(good|bad)"),
        masked=r"test_public/\1",
        branches=frozenset({"", "train", "validation", "test_public", "test_public/ground_truth"}),
        homes={
            "train": "train/good/",
            "validation": "validation/good/",
            "test_public": "test_public/good/ and test_public/bad/",
            "test_private": "test_private/",
            "test_private_mixed": "test_private_mixed/",
        },
        bad="test_public/bad/",
        truth="test_public/ground_truth/bad/",
    ),
    "mvtec_ad": Places(
        photographs=re.compile("train/good|test/[^/]+"),
        masks=re.compile("ground_truth/([^/]+)"),
        masked=r"test/\1",
        branches=frozenset({"", "train", "test", "ground_truth"}),
        homes={"train": "train/good/", "validation": "train/good/", "test": "test/good/ and test/<kind of defect>/"},
        bad="test/<kind of defect>/",
        truth="ground_truth/<kind of defect>/",
    ),
}
