"""Snakemake's reasons for a job in fewer words: the first file instead of all of them."""

import re

WORDS = {
    "Forced execution": "it was asked for",
    "Rules with neither input nor output": "it makes no file",
    "Rules with a run or shell declaration": "it makes no file",
    "Missing output files": "{} missing",
    "Incomplete output files": "{} left incomplete",
    "Updated input files": "{} changed",
    "Set of input files has changed": "it reads other files than before",
    "Code has changed": "its code changed",
    "Params have changed since last execution": "{}",
    "Software environment definition": "its software changed",
}
"""By the beginning of each of Snakemake's reasons; ``{}`` stands for its files."""
BEHIND = "Input files updated by another job"
PARTS = re.compile(rf"; (?=(?:{'|'.join([*WORDS, BEHIND])}))")


def why(reason: str) -> str:
    """Return why a job runs, in one line.

    Parameters
    ----------
    reason : str
        As Snakemake has it, with up to hundreds of paths.

    Returns
    -------
    str
        Without jobs that run before it, unless there is nothing else.
    """
    found = [_told(part) for part in PARTS.split(reason) if not part.startswith(BEHIND)]
    return "; ".join(filter(None, found)) or "what it reads is made anew"


def _told(part: str) -> str:
    for beginning, words in WORDS.items():
        if part.startswith(beginning):
            rest = part.removeprefix(beginning).removeprefix(": ").strip()
            return words.format(rest if beginning.startswith("Params") else _first(rest))
    return part


def _first(files: str) -> str:
    """Name the file nearest to the top, as Snakemake's order changes from run to run."""
    first, *others = sorted(files.split(", "), key=lambda file: (file.count("/"), file))
    return f"{first} and {len(others)} more" if others else first
