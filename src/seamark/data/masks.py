"""What to say where defect photographs have no masks."""

from collections.abc import Sequence
from pathlib import Path

from seamark.data.layout import FoundImage
from seamark.data.listing import list_files
from seamark.data.passed_over import examples
from seamark.files.plain import shown


def missing_masks(root: Path, lacking: Sequence[FoundImage]) -> str:
    """Say which defect photographs have no mask, what lies where the first is expected, and what to do.

    Parameters
    ----------
    root : Path
        Data root.
    lacking : sequence of FoundImage
        Defect photographs, at least one, whose files of masks are not there.
    """
    mask = root / (lacking[0].mask or "")
    there = list_files(mask.parent, 1)[""] if mask.parent.is_dir() else ()
    holds = f"holds {', '.join(examples(there))}" if there else "is empty" if mask.parent.is_dir() else "does not exist"
    more = f" and of {len(lacking) - 1} more" if len(lacking) > 1 else ""
    return (
        f"{shown(mask)}: the mask of {shown(root / lacking[0].file)}{more} is missing; {shown(mask.parent)} {holds}; "
        "a mask is called as its photograph with _mask.png behind: give masks to all defect photographs of the "
        "category, or none at all for image scores only"
    )
