"""The file of a bundle: a ZIP archive that stores its members as they are, closed by its own digest.

Ordinary tools open it: ``bundle.json`` is the manifest, all other members are safetensors files. The archive's comment
is the SHA-256 of everything before it, so that any damage is noticed. It tells nothing about who made a bundle; nothing
in one is ever executed.
"""

import hashlib
import shutil
import zipfile
from collections.abc import Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import IO, NamedTuple

from pydantic import ValidationError

from seamark.errors import ManifestError
from seamark.files.atomic import atomic_write
from seamark.files.plain import MANIFEST_BYTES, UNREADABLE, require_plain_file, shown
from seamark.manifests.bundle import BundleManifest

MANIFEST = "bundle.json"
DIGEST_BYTES = 64
MOST_BYTES = 1 << 36
"""Largest bundle that is read, 64 GiB."""
MOST_FILES = 100
BLOCK = 1 << 20
EPOCH = (1980, 1, 1, 0, 0, 0)
"""Time of every member, so that the same content gives the same bytes."""


def write_bundle(path: Path, manifest: BundleManifest, files: Mapping[str, Path]) -> str:
    """Write a bundle, complete or not at all; the same bytes for the same content.

    Parameters
    ----------
    path : Path
        File to write.
    manifest : BundleManifest
        Without a digest.
    files : mapping of str to Path
        Files by the names that they get in it.

    Returns
    -------
    str
        Its digest.
    """
    with atomic_write(path) as draft:
        with zipfile.ZipFile(draft, "w", zipfile.ZIP_STORED) as archive:
            archive.writestr(zipfile.ZipInfo(MANIFEST, EPOCH), manifest.model_dump_json(indent=1) + "\n")
            for name, file in sorted(files.items()):
                entry = zipfile.ZipInfo(name, EPOCH)
                with file.open("rb") as content, archive.open(entry, "w", force_zip64=True) as to:
                    shutil.copyfileobj(content, to, BLOCK)
            archive.comment = b"0" * DIGEST_BYTES
        with draft.open("r+b") as stream:
            digest = _digest(stream, draft.stat().st_size - DIGEST_BYTES)
            stream.seek(-DIGEST_BYTES, 2)
            stream.write(digest.encode())
    return digest


def _digest(stream: IO[bytes], size: int) -> str:
    digest = hashlib.sha256()
    stream.seek(0)
    while size > 0 and (block := stream.read(min(size, BLOCK))):
        digest.update(block)
        size -= len(block)
    return digest.hexdigest()


class Bundle(NamedTuple):
    """A bundle whose digest was right."""

    path: Path
    digest: str
    manifest: BundleManifest

    def extract(self, name: str, folder: Path) -> Path:
        """Write one of its files into a folder, under its last name, and return where; ManifestError without it."""
        target = folder / Path(name).name
        try:
            with _archive(self.path) as archive, archive.open(name) as content, target.open("wb") as to:
                shutil.copyfileobj(content, to, BLOCK)
        except (zipfile.BadZipFile, *UNREADABLE) as error:
            raise ManifestError(f"{shown(self.path)}: {_damage(error)}") from error
        return target


def _archive(path: Path) -> AbstractContextManager[zipfile.ZipFile]:
    return zipfile.ZipFile(path)


def _damage(error: object) -> str:
    return f"not a bundle that can be read ({shown(str(error))}); copy it again, or make it again with target bundle"


def read_bundle(path: Path) -> Bundle:
    """Read the manifest of a bundle.

    Parameters
    ----------
    path : Path
        A file that :func:`write_bundle` wrote.

    Raises
    ------
    ManifestError
        If it is missing, larger than 64 GiB, has another digest than it says, or is no bundle of this form; nothing in
        it is executed or unpacked before.
    """
    try:
        require_plain_file(path, MOST_BYTES)
        with path.open("rb") as stream:
            found = _digest(stream, path.stat().st_size - DIGEST_BYTES)
            told = stream.read(DIGEST_BYTES).decode("ascii", "replace")
    except OSError as error:
        raise ManifestError(f"{shown(path)}: {_damage(error)}") from error
    if found != told:
        raise ManifestError(
            f"{shown(path)}: its digest is {found}, but it ends with {shown(told[:16])}...: damaged, or no bundle; "
            "copy it again, or make it again with target bundle"
        )
    try:
        with _archive(path) as archive:
            return Bundle(path, found, _manifest(archive))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or MANIFEST
        raise ManifestError(
            f"{shown(path)}: {shown(where)}: {shown(first['msg'])}; it was made by another version of Seamark, or by "
            "something else: make it again with target bundle"
        ) from error
    except (zipfile.BadZipFile, *UNREADABLE) as error:
        raise ManifestError(f"{shown(path)}: {_damage(error)}") from error


def _manifest(archive: zipfile.ZipFile) -> BundleManifest:
    members = archive.infolist()
    if len(members) > MOST_FILES or any(member.compress_type != zipfile.ZIP_STORED for member in members):
        raise zipfile.BadZipFile(f"{len(members)} files, expected at most {MOST_FILES}, none of them compressed")
    if archive.getinfo(MANIFEST).file_size > MANIFEST_BYTES:
        raise zipfile.BadZipFile(f"{MANIFEST} is larger than {MANIFEST_BYTES} bytes")
    return BundleManifest.model_validate_json(archive.read(MANIFEST))
