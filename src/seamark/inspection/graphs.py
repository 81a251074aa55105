"""The members of a bundle as ONNX graphs beside it, for :class:`seamark.Inspector` with onnxruntime and for others."""

from pathlib import Path
from tempfile import TemporaryDirectory

from seamark.errors import ManifestError
from seamark.export.onnx_scorer import OnnxScorer
from seamark.files.atomic import atomic_folder, file_digest
from seamark.files.plain import shown
from seamark.inspection.bundle_file import Bundle
from seamark.manifests.base import Manifest, read_manifest, write_manifest

RECORD = "graphs.json"


class Graphs(Manifest):
    """Graphs that were exported of a bundle."""

    bundle: str
    """Its digest."""
    graphs: dict[str, str]
    """Digest of the file by the name of the member."""


def graphs_folder(bundle: Bundle) -> Path:
    """Return where the graphs of a bundle lie: ``woven.onnx/`` beside ``woven.seamark``."""
    return bundle.path.with_suffix(".onnx")


def write_graphs(bundle: Bundle) -> list[Path]:
    """Write one graph per member, all or none, and return where they are.

    Raises
    ------
    ConfigError
        If the extra ``onnx`` is not installed, or a detector has no such graph.
    """
    from seamark.export.onnx_writing import write_onnx  # noqa: PLC0415 (it imports torch)
    from seamark.inspection.torch_scoring import load_detector  # noqa: PLC0415 (likewise)

    folder = graphs_folder(bundle)
    files = []
    with atomic_folder(folder) as draft, TemporaryDirectory(prefix="seamark-") as scratch:
        for member in bundle.manifest.members:
            detector, _ = load_detector(bundle, member, Path(scratch))
            write_onnx(draft / f"{member.name}.onnx", detector)
            files.append(folder / f"{member.name}.onnx")
        digests = {file.stem: file_digest(draft / file.name) for file in files}
        write_manifest(draft / RECORD, Graphs(bundle=bundle.digest, graphs=digests))
    return files


def load_graphs(bundle: Bundle) -> tuple[OnnxScorer, ...]:
    """Load the graphs of a bundle, in the order of its members.

    Raises
    ------
    ConfigError
        If the extra ``onnx`` is not installed.
    ManifestError
        If they are missing, damaged or another bundle's.
    """
    folder, again = graphs_folder(bundle), f"export them with: seamark export {shown(bundle.path)} --to onnx"
    if not (folder / RECORD).is_file():
        raise ManifestError(f"{shown(folder)}: no graphs of {bundle.path.name}; {again}")
    told = read_manifest(folder / RECORD, Graphs)
    if told.bundle != bundle.digest:
        raise ManifestError(f"{shown(folder)}: graphs of another bundle than {bundle.path.name}; {again}")
    scorers = []
    for member in bundle.manifest.members:
        file = folder / f"{member.name}.onnx"
        if not file.is_file() or file_digest(file) != told.graphs.get(member.name):
            raise ManifestError(f"{shown(file)}: missing or changed since it was exported; {again}")
        scorers.append(OnnxScorer(file))
    return tuple(scorers)
