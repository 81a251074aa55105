"""The tree of a submission, be it a folder or the members of an archive: what lies where, and what should.

Source: docs/methods/mvtec_ad2.md#official-checker, rules 1 to 5.
"""

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from seamark.files.plain import shown
from seamark.submission.expected import MAPS_FOLDER, MASKS_FOLDER, ExpectedSubmission
from seamark.submission.inspection import Violation, expected_files

DEPTH = 4
"""Kind, category, split, file; what lies deeper lies in a folder that has no place here itself."""


@dataclass(frozen=True)
class Tree:
    """Paths below a submission, links counted as what they lead to.

    Parameters
    ----------
    files, folders, links, others : collection of str
        Path of each, with slashes; links are among the files and folders too.
    """

    files: Collection[str]
    folders: Collection[str]
    links: Collection[str] = ()
    others: Collection[str] = ()

    @cached_property
    def names(self) -> dict[str, set[str]]:
        """Names of what lies in each folder; the submission itself is the empty path."""
        names: dict[str, set[str]] = {folder: set() for folder in ("", *self.folders)}
        for path in (*self.files, *self.folders, *self.others):
            above, _, name = path.rpartition("/")
            names.setdefault(above, set()).add(name)
        return names


def folder_tree(folder: Path) -> Tree:
    """List what lies in a folder, links followed, as deep as a submission goes."""
    paths = {
        path.relative_to(folder).as_posix(): path
        for depth in range(1, DEPTH + 1)
        for path in folder.glob("/".join("*" * depth))
    }
    files = {name for name, path in paths.items() if path.is_file()}
    folders = {name for name, path in paths.items() if path.is_dir()}
    links = sorted(name for name, path in paths.items() if path.is_symlink())
    return Tree(files, folders, links, paths.keys() - files - folders)


def member_tree(files: Collection[str], folders: Collection[str]) -> Tree:
    """Arrange the files and folders of an archive, which need not list the folders that its files lie in."""
    above = {path.rsplit("/", up)[0] for path in files for up in range(1, path.count("/") + 1)}
    return Tree(files, {*folders, *above})


def tree_violations(tree: Tree, expected: ExpectedSubmission) -> Iterator[Violation]:
    """Compare a submission with what it should hold.

    Parameters
    ----------
    tree : Tree
        What lies where.
    expected : ExpectedSubmission
        What should.

    Yields
    ------
    Violation
        Of the rules ``maps``, ``top_level``, ``tree``, ``names`` and ``plain_files``.
    """
    if MAPS_FOLDER not in tree.folders:
        yield Violation("maps", f"no folder {MAPS_FOLDER}")
    for name in sorted(tree.names[""] - {MAPS_FOLDER, MASKS_FOLDER}):
        yield Violation("top_level", f"{shown(name)}: nothing but {MAPS_FOLDER} and {MASKS_FOLDER} may lie here")
    if MASKS_FOLDER in tree.names[""] and MASKS_FOLDER not in tree.folders:
        yield Violation("top_level", f"{MASKS_FOLDER}: not a folder")
    for name in tree.links:
        yield Violation("plain_files", f"{shown(name)}: a link; put the file itself there")
    wanted = member_tree(expected_files(expected), ()).names
    for below in sorted({MAPS_FOLDER, MASKS_FOLDER, *wanted}.intersection(tree.folders)):
        yield from _difference(below, tree, wanted.get(below, set()))


def _difference(below: str, tree: Tree, wanted: set[str]) -> Iterator[Violation]:
    """Compare what lies in a folder of a kind, a category or a split with what should."""
    what, found = ("category folder", "split folder", "file")[below.count("/")], tree.names[below]
    rule = "names" if what == "file" else "tree"
    for name in sorted(wanted - found):
        yield Violation(rule, f"{below}/{name}: this {what} is missing")
    for name in sorted(found - wanted):
        yield Violation(
            rule, f"{below}/{shown(name)}: not expected here; the {what}s of the submission are fixed, remove it"
        )
    for name in sorted(found & wanted):
        if f"{below}/{name}" not in (tree.files if what == "file" else tree.folders):
            yield Violation(rule, f"{below}/{name}: not a {what}")
