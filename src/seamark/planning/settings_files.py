"""The files that Snakemake reads settings from, read again: it takes the last of two equal keys without a word.

``python -m seamark.planning.settings_files presets/mine.yaml`` says what keeps a file from being read, and where.
"""

import os
import sys
from collections.abc import Iterable, MutableMapping, Sequence
from pathlib import Path
from typing import Any

from seamark.errors import ConfigError
from seamark.files.plain import read_plain_file
from seamark.settings.config import deep_merge
from seamark.settings.written import SettingsFile, Sources, command_line_file

MOST_BYTES = 1 << 20
"""Largest file of settings that is read."""


def read_settings_file(path: Path) -> SettingsFile:
    """Return a file of settings, YAML or JSON.

    Raises
    ------
    ConfigError
        If it cannot be read, is not UTF-8, or neither YAML nor JSON.
    """
    name = os.path.relpath(path)
    name = str(path) if name.startswith("..") else name
    try:
        return SettingsFile(name, read_plain_file(path, MOST_BYTES))
    except OSError as error:
        raise ConfigError(
            f"{name}: cannot be read ({error.strerror}); expected a text file that you may read"
        ) from error


def read_sources(
    files: Iterable[Path], entries: Sequence[str], given: MutableMapping[str, Any], default: Path
) -> Sources:
    """Read what a call of Snakemake takes settings from, and refuse keys that stand twice.

    Parameters
    ----------
    files : iterable of Path
        Those behind ``--configfile``.
    entries : sequence of str
        The ``name=value`` behind ``--config``.
    given : mutable mapping
        What Snakemake has read of both. It takes every value within ``--config`` for text; here ``null``, ``true`` and
        numbers become what they are in a file.
    default : Path
        The file that these are laid over; it may be missing.

    Returns
    -------
    Sources
        For messages, the files in the order in which they are laid over each other.

    Raises
    ------
    ConfigError
        With every key that stands twice and its lines, or if a file is not what it should be.
    """
    layers = [read_settings_file(path) for path in (default, *files) if path != default or os.path.lexists(path)]
    for file in layers:
        file.settings()
    names = [entry.partition("=")[0] for entry in entries]
    for entry, name in zip(entries, names, strict=True):
        try:
            file = command_line_file(entry)
        except ConfigError:
            continue  # Snakemake takes a value that is no YAML for text
        if problems := list(file.repeated()):
            raise ConfigError("\n".join(problems))
        if isinstance(given[name], dict | list) or entry.partition("=")[2][:1] in ('"', "'"):
            given[name] = deep_merge(given, file.settings())[name]
        if names.count(name) > 1 and not isinstance(given[name], dict):
            raise ConfigError(f"--config: {name} stands twice; keep one of them")
        layers.append(file)
    return Sources(tuple((file, ()) for file in layers))


def main(names: Sequence[str]) -> str | None:
    """Return what is wrong with files of settings, None if they can be read."""
    problems = []
    for name in names:
        try:
            read_settings_file(Path(name)).settings()
        except ConfigError as error:
            problems.append(str(error))
    return "\n".join(problems) or None


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
