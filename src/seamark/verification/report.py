"""What the target verify says."""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TextIO

from seamark.files.plain import shown
from seamark.repair import snakemake_command
from seamark.verification.verification import Verification


def print_verification(found: Verification, stream: TextIO = sys.stdout) -> None:
    """Print what is wrong as a table with the command that repairs each line, and how much was looked at.

    Parameters
    ----------
    found : Verification
        What was found.
    stream : text stream
        Where to print.
    """
    faults = list(found.faults.values())
    rows = [("file", "what is wrong", "repair"), *((shown(it.path), shown(it.what), it.command) for it in faults)]
    if faults:
        widths = [max(len(row[column]) for row in rows) for column in (0, 1)]
        for path, what, command in rows:
            stream.write(f"{path:{widths[0]}}  {what:{widths[1]}}  {command}\n")
        stream.write(f"after these repairs: {snakemake_command('submission')}\n")
    for name, versions in sorted(found.versions.items()):
        if len(versions) > 1:
            stream.write(f"note: made with several versions of {name}: {', '.join(sorted(versions))}\n")
    if absent := _absent(found.expected):
        stream.write(f"note: {absent} of {len(found.expected)} manifests are not made yet\n")
    size = sum(found.checked.values()) / 1e6
    verdict = f"{len(faults)} wrong" if faults else "all as it should be"
    stream.write(f"verify: {len(found.checked)} files, {size:.1f} MB read: {verdict}\n")
    stream.flush()


def _absent(expected: Mapping[str, Mapping[str, Any]]) -> int:
    return sum(not Path(path).exists() for path in expected)
