"""Contents of a data root that are not read, and the line that says of a category what is."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from seamark.settings.base import SPLITS, Split

Verdict = Literal["error", "warning", "counted"]
Counts = Mapping[tuple[Split, Literal["good", "bad"] | None], int]


def numbered(number: int, what: str, behind: str = "") -> str:
    """Return a number of things: ``1 image``, ``2 images directly in train/``."""
    return f"{number} {what}{'s' if number > 1 else ''} {behind}".rstrip()


def listed(heading: str, problems: Sequence[str]) -> str:
    """Return the text of an error with one problem behind its heading, or several below it."""
    return f"{heading}: {problems[0]}" if len(problems) == 1 else "\n  ".join([f"{heading}:", *problems])


@dataclass(frozen=True)
class PassedOver:
    """Files of one kind, or a folder, that are not read."""

    what: str
    """As the line of a category names it: ``3 .heic``, ``folder notes/``."""
    verdict: Verdict
    """``error``: looks like data; ``warning``: may be meant; ``counted``: no image."""
    examples: tuple[str, ...]
    """Paths below the category's folder, or the data root, of at most three files, and how many more there are."""
    remedy: str = ""
    """What to do, for errors and warnings."""

    @property
    def looks_like_data(self) -> bool:
        """Whether images are lost if nobody acts."""
        return self.verdict == "error"

    def __str__(self) -> str:
        """Say what is not read, where, and what to do."""
        examples = f" ({', '.join(self.examples)})" if self.examples else ""
        return f"{self.what}{examples}: not read" + (f"; {self.remedy}" if self.remedy else "")


def category_line(category: str, counts: Counts, passed_over: Iterable[PassedOver]) -> str:
    """Say in one line what of a category is read and what is passed over.

    Parameters
    ----------
    category : str
        Its name.
    counts : mapping of (split, label) to int
        Images that are read; the label is None where the truth is private.
    passed_over : iterable of PassedOver
        What is not read.

    Returns
    -------
    str
        Such as ``woven: train 16, validation 5, test_public 10 (4 good, 6 bad); passed over: 3 .heic, folder notes/``.
    """
    parts = []
    for split in SPLITS:
        found = {label: number for (of, label), number in counts.items() if of == split and number}
        labels = ", ".join(f"{found[label]} {label}" for label in ("good", "bad") if label in found)
        if found:
            parts.append(f"{split} {sum(found.values())}" + (f" ({labels})" if split == "test_public" else ""))
    passed = ", ".join(record.what for record in passed_over)
    return f"{category}: {', '.join(parts) or 'no image'}" + (f"; passed over: {passed}" if passed else "")
