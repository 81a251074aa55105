"""The words about a job that failed: its own words from its log, or that it has none."""

import re
from collections.abc import Sequence
from pathlib import Path

SAID = re.compile(r"^\S+ ERROR ", re.MULTILINE)
ENTRY = re.compile(r"^\S+ (?:DEBUG|INFO|WARNING) ", re.MULTILINE)
TAIL = 5
"""Lines of a log that are shown where a job has said nothing of its end."""


def failure(label: str, logs: Sequence[str], outputs: Sequence[str]) -> str:
    """Return what failed, why, where the log is, how to repeat it, and what is lost.

    Parameters
    ----------
    label : str
        The stage and its wildcards in one line.
    logs : sequence of str
        Paths of its logs.
    outputs : sequence of str
        Paths of what it should have made.

    Returns
    -------
    str
        Several lines.
    """
    texts = [Path(log).read_text(encoding="utf-8", errors="replace") for log in logs if Path(log).is_file()]
    for text in texts:
        if found := SAID.search(text):
            own = text[found.start() :]
            other = ENTRY.search(own)
            return SAID.sub("", own[: other.start()] if other else own).rstrip()
    return "\n".join([f"failed: {label}", *_unsaid(texts, logs), *_remedy(outputs)])


def _unsaid(texts: Sequence[str], logs: Sequence[str]) -> list[str]:
    tail = [line for text in texts for line in text.splitlines()[-TAIL:]]
    ended = "it ended without a word of its own: killed from outside, out of memory, or before it began"
    return [ended, *(f"  {line}" for line in tail), *(f"log: {log}" for log in logs)]


def _remedy(outputs: Sequence[str]) -> list[str]:
    from seamark.repair import snakemake_command  # noqa: PLC0415  (that of the Snakefile, which is known only now)

    again = [f"repeat with: {snakemake_command('-f', outputs[0])}"] if outputs else []
    return [*again, "nothing is lost: what other jobs and earlier runs made stays, and the same command goes on"]
