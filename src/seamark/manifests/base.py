"""Reading and writing manifests."""

from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from seamark.artifacts import committed_file
from seamark.errors import ManifestError
from seamark.repair import repair_command


class Record(BaseModel):
    """A frozen part of a manifest that refuses unknown keys and non-finite numbers."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Manifest(Record):
    """The declared output of a job.

    A manifest holds no time stamp, no host name and no absolute path, so running a stage again on the same input
    gives the same bytes, which is how Snakemake sees that nothing below it has to run.
    """


AnyManifest = TypeVar("AnyManifest", bound=Manifest)


def write_manifest(path: Path, manifest: Manifest) -> None:
    """Write a manifest by rename, as the last act of a job.

    Parameters
    ----------
    path : Path
        The declared output.
    manifest : Manifest
        What to write; keys keep the order of the class.
    """
    with committed_file(path) as draft:
        draft.write_text(manifest.model_dump_json(indent=1) + "\n", encoding="utf-8")


def read_manifest(path: Path, kind: type[AnyManifest]) -> AnyManifest:
    """Read a manifest and check its form.

    Parameters
    ----------
    path : Path
        Manifest of an earlier stage.
    kind : type
        The manifest class that the stage writes.

    Returns
    -------
    AnyManifest
        The manifest.

    Raises
    ------
    ManifestError
        If the file is missing or does not have the expected form.
    """
    try:
        return kind.model_validate_json(path.read_bytes())
    except OSError as error:
        raise ManifestError(
            f"{path}: cannot read the manifest ({error}); rebuild it with: {repair_command(path)}"
        ) from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "the file"
        raise ManifestError(
            f"{path}: not a {kind.__name__}: {where}: {first['msg']}; rebuild it with: {repair_command(path)}"
        ) from error
