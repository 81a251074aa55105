"""Reading and writing manifests."""

from pathlib import Path, PurePosixPath
from typing import Annotated, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from seamark.errors import ManifestError
from seamark.files.atomic import atomic_write
from seamark.files.plain import MANIFEST_BYTES, read_plain_file
from seamark.repair import repair_command


def _inside(path: str) -> str:
    parts = PurePosixPath(path).parts
    if not parts or parts[0] == "/" or ".." in parts or "\0" in path:
        raise ValueError(f"{path!r} does not stay inside the folder that it is relative to")
    return path


Inside = Annotated[str, AfterValidator(_inside)]
"""A name or relative path that leads nowhere but below the folder it is relative to; stages write where it says."""
Px = Annotated[int, Field(ge=1, le=1 << 20)]
"""A side of an image, a map or a mask in px."""
PositionPx = Annotated[int, Field(ge=-(1 << 21), le=1 << 21)]
"""A place in an image, or beyond its border, in px."""


class Record(BaseModel):
    """A frozen part of a manifest that refuses unknown keys and non-finite numbers."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Manifest(Record):
    """The declared output of a job.

    A manifest holds no time stamp, no host name and no absolute path, so running a stage again on the same input
    gives the same bytes, which is how Snakemake sees that nothing below it has to run.
    """


FAULTS = {"missing": "is missing", "extra_forbidden": "is unknown", "json_invalid": "is not JSON"}
AnyManifest = TypeVar("AnyManifest", bound=Manifest)


def write_manifest(path: Path, manifest: Manifest) -> None:
    """Write a manifest, keys in the order of the class, by rename, as the last act of a job."""
    with atomic_write(path) as draft:
        draft.write_text(manifest.model_dump_json(indent=1) + "\n", encoding="utf-8")


def read_manifest(path: Path, kind: type[AnyManifest]) -> AnyManifest:
    """Read a manifest of an earlier stage; ManifestError if it is missing or does not have the form of its kind."""
    try:
        return kind.model_validate_json(read_plain_file(path, MANIFEST_BYTES))
    except OSError as error:
        raise ManifestError(
            f"{path}: cannot read the manifest ({error}); rebuild it with: {repair_command(path)}"
        ) from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "the file"
        refused = str(first["ctx"]["error"]) if first["type"] == "value_error" else None
        what = refused or FAULTS.get(first["type"], "holds a value of the wrong kind or size")
        raise ManifestError(
            f"{path}: not a {kind.__name__}: {where}: {what}; rebuild it with: {repair_command(path)}"
        ) from error
