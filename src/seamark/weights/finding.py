"""Finding and verifying files of pretrained weights; planning uses it too, so it never imports torch."""

import importlib.util
import os
import shutil
import sys
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.request import Request, urlopen

from seamark.errors import WeightsError
from seamark.files.atomic import file_digest

DOWNLOAD = "download"
"""In place of a path: fetch the published file if it is missing."""
_DIGEST_DIGITS = 64
_SILENCE_S = 60.0
"""Seconds without a byte after which a download has failed."""


@dataclass(frozen=True)
class WeightsSource:
    """What is known about one file of pretrained weights and where it may lie.

    A field is None when it is not known; nothing in here is guessed.
    """

    file: str
    """Name of the file as its authors publish it."""
    licence: str
    """Licence of the weights, an SPDX identifier."""
    origin: str
    """Who trained them on what."""
    page: str
    """Address of the official page of the weights."""
    sha256: str | None = None
    """Digest of the file or its first hexadecimal digits."""
    size: int | None = None
    """Length of the file in bytes."""
    package: str | None = None
    """Python package whose folder ``models`` carries the file."""
    url: str | None = None
    """Address of the file itself."""
    hub: tuple[str, str] | None = None
    """Repository at Hugging Face and the file's name in it."""
    network: str = ""
    """Module of the network that it belongs to, where the name of the file does not tell."""
    setting: str = "weights"
    """Key of the configuration that says where the weights are."""
    instead: str = "set `backbone: efficientnet_lite0`, whose weights come with a Python package"
    """What to do to get along without them."""


def package_file(source: WeightsSource) -> Path | None:
    """Return where the Python package that carries the weights has them, or None without such a package."""
    spec = importlib.util.find_spec(source.package) if source.package else None
    if spec is None or spec.origin is None:
        return None
    return Path(spec.origin).parent / "models" / source.file


def hub_file(source: WeightsSource) -> Path:
    """Return where torch's own download cache keeps the weights; the file need not exist.

    The folder is the one that ``torch.hub.get_dir`` documents: ``$TORCH_HOME/hub``, where ``$TORCH_HOME`` is
    ``$XDG_CACHE_HOME/torch`` by default and that in turn ``~/.cache/torch``.
    """
    cache = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    home = os.environ.get("TORCH_HOME") or f"{cache}/torch"
    return Path(home).expanduser() / "hub" / "checkpoints" / source.file


def hugging_face_file(source: WeightsSource) -> Path | None:
    """Return where the cache of Hugging Face keeps the weights, None for weights of another origin.

    It lies in ``$HF_HUB_CACHE``, by default ``hub`` in ``$HF_HOME``, that by default ``~/.cache/huggingface``; in a
    repository's folder ``refs/main`` names the revision that was fetched last.
    """
    if source.hub is None:
        return None
    repository, file = source.hub
    home = os.environ.get("HF_HOME") or f"{os.environ.get('XDG_CACHE_HOME') or '~/.cache'}/huggingface"
    cache = Path(os.environ.get("HF_HUB_CACHE") or f"{home}/hub").expanduser()
    folder = cache / f"models--{repository.replace('/', '--')}"
    named = folder / "refs" / "main"
    return folder / "snapshots" / (named.read_text().strip() if named.is_file() else "main") / file


def find_weights(source: WeightsSource, where: str | Path) -> Path:
    """Find a file of pretrained weights.

    Parameters
    ----------
    source : WeightsSource
        The wanted weights.
    where : str or Path
        ``pretrained`` looks in the Python package that carries the weights and in torch's download cache; ``download``
        looks there too and fetches the file into that cache when it is missing; anything else is the path of a file.

    Returns
    -------
    Path
        An existing file.

    Raises
    ------
    WeightsError
        If the file is in none of these places, naming each of them and what works without it.
    """
    places = _places(source, where)
    for place in places:
        if place.is_file():
            return place
    if str(where) == DOWNLOAD and source.url is not None:
        return _download(source)
    raise WeightsError(_missing(source, places))


def require_weights(source: WeightsSource, where: str | Path) -> None:
    """Check before a long run, in an instant, that a file of weights will be found.

    Nothing is downloaded and no digest is computed: a file of the right name and size counts as the right one, which
    :func:`verify_digest` checks when the file is loaded.

    Parameters
    ----------
    source : WeightsSource
        The wanted weights.
    where : str or Path
        As for :func:`find_weights`; ``random`` needs no file, and what ``download`` can fetch need not be there yet.

    Raises
    ------
    WeightsError
        If the file is in none of the places that :func:`find_weights` looks at, or a published one has another size.
    """
    if str(where) == "random" or (
        str(where) == DOWNLOAD and source.url and not any(place.is_file() for place in _places(source, where))
    ):
        return
    path = find_weights(source, where)
    found = path.stat().st_size
    if is_published(where) and source.size not in (None, found):
        raise WeightsError(
            f"{path}: {found} bytes, expected {source.size}: the file is incomplete or another one. Delete it and "
            f"fetch {source.file} again ({source.page})"
        )


def is_published(where: str | Path) -> bool:
    """Return whether these weights are the published ones, whose size and digest are known."""
    return str(where) in ("pretrained", "download")


def _places(source: WeightsSource, where: str | Path) -> list[Path]:
    if not is_published(where):
        return [Path(where).expanduser()]
    places = (package_file(source), hub_file(source), hugging_face_file(source))
    return [place for place in places if place]


def _download(source: WeightsSource) -> Path:
    """Fetch a file into the cache; it appears there complete and verified, or not at all.

    The draft lies in a folder of its own, because several jobs may want the same file at the same time.
    """
    target = hub_file(source)
    print(f"fetching {source.file} from {source.url} to {target.parent}", file=sys.stderr, flush=True)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(prefix=f".{source.file}.", dir=target.parent) as folder:
            draft = Path(folder) / source.file
            _fetch(source, draft)
            draft.replace(target)
    except (OSError, HTTPException) as error:
        raise WeightsError(
            f"{source.file}: the download from {source.url} failed ({error}). See {source.page}"
        ) from error
    return target


def _fetch(source: WeightsSource, draft: Path) -> None:
    request = Request(str(source.url), headers={"User-Agent": "seamark"})
    with urlopen(request, timeout=_SILENCE_S) as answer, draft.open("wb") as stream:
        shutil.copyfileobj(answer, stream)
        announced = answer.headers.get("Content-Length")
    found = draft.stat().st_size
    for expected in (source.size, announced):
        if expected is not None and found != int(expected):
            raise WeightsError(
                f"{source.file}: {found} bytes came from {source.url}, expected {expected}; nothing was kept. "
                f"Try again or see {source.page}"
            )
    digest = file_digest(draft)
    if source.sha256 is not None and not digest.startswith(source.sha256):
        raise WeightsError(
            f"{source.file}: sha256 of what came from {source.url} is {digest}, expected {source.sha256}; nothing was "
            f"kept. See {source.page}"
        )


def _missing(source: WeightsSource, places: list[Path]) -> str:
    published = f"it is published at {source.page}, licence: {source.licence}"
    remedies = [f"put the file there or give its path as `{source.setting}:` ({published})"]
    if source.package:
        remedies.append(f"install the Python package {source.package}, which carries it")
    if source.url:
        remedies.append(f"set `{source.setting}: download`, which fetches {source.url}")
    remedies.append(source.instead)
    digest = f"sha256 {source.sha256}" if source.sha256 else "sha256 not known"
    if source.sha256 and len(source.sha256) < _DIGEST_DIGITS:
        digest += "..."
    facts = f"{digest}, {source.size} bytes" if source.size else digest
    looked = ", ".join(str(place.absolute()) for place in places)
    return f"pretrained weights {source.file} ({facts}) are missing; looked at: {looked}. Either " + "; or ".join(
        remedies
    )


def verify_digest(path: Path, source: WeightsSource) -> str:
    """Return the SHA-256 of a weights file after comparing it with the published one, where that is known.

    Raises
    ------
    WeightsError
        If the digest does not begin with ``source.sha256``.
    """
    digest = file_digest(path)
    if source.sha256 is not None and not digest.startswith(source.sha256):
        raise WeightsError(
            f"{path}: sha256 is {digest}, expected {source.sha256}: the file is damaged or another one. Delete it and "
            f"fetch {source.file} again ({source.page}); weights of your own are given by their path as "
            f"`{source.setting}:`"
        )
    return digest
