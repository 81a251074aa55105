"""The command that makes an artifact again, with the configuration of the call that is running."""

import os
import shlex
from collections.abc import Iterable
from pathlib import Path

CONFIGURATION = "SEAMARK_CONFIGURATION"
"""Environment variable with the options that name presets and settings; jobs inherit it from the Snakefile."""


def export_configuration(presets: Iterable[Path], settings: Iterable[str]) -> None:
    """Tell all jobs with which presets and settings Snakemake was called.

    Parameters
    ----------
    presets : iterable of Path
        Files of ``--configfile``.
    settings : iterable of str
        The ``name=value`` of ``--config``.
    """
    words = [os.path.relpath(path) for path in presets]
    options = ["--configfile", *words] if words else []
    given = list(settings)
    os.environ[CONFIGURATION] = shlex.join([*options, *(["--config", *given] if given else [])])


def snakemake_command(*arguments: str, cores: int | str = "all") -> str:
    """Return a command line for a shell.

    Parameters
    ----------
    *arguments : str
        What to make, after a flag such as ``-f`` if one is needed: presets and settings stand before it.
    cores : int or str
        Cores to use.

    Returns
    -------
    str
        The command, in the same configuration.
    """
    given = os.environ.get(CONFIGURATION, "")
    words = [shlex.quote(word) for word in arguments]
    if given and words and not words[0].startswith("-"):
        words.insert(0, "--")  # a target right behind presets would be taken for one of them
    return " ".join(["snakemake", "--cores", str(cores), *([given] if given else []), *words])


def manifest_above(path: Path) -> Path | None:
    """Return the manifest in whose folder a file lies, None if there is none.

    Parameters
    ----------
    path : Path
        A map or mask in a folder with the name of its manifest.
    """
    flat = Path(os.path.normpath(path))
    manifests = (folder.with_name(f"{folder.name}.json") for folder in flat.parents if folder.name)
    return next((manifest for manifest in manifests if manifest.is_file()), None)


def owner_command(path: Path) -> str:
    """Return the command that makes a file beside a manifest again, or the plain command if no manifest lies above it.

    Parameters
    ----------
    path : Path
        A map or mask in a folder with the name of its manifest.

    Returns
    -------
    str
        For a shell in the project's folder.
    """
    owner = manifest_above(path)
    return repair_command(owner) if owner else snakemake_command("submission")


def repair_command(*paths: Path | str) -> str:
    """Return the command that makes artifacts again, whatever Snakemake thinks of them.

    Parameters
    ----------
    *paths : Path or str
        Declared outputs of their jobs, usually manifests.

    Returns
    -------
    str
        For a shell in the project's folder.
    """
    return snakemake_command("-f", *map(str, paths))
