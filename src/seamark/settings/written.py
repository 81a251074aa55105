"""Files of settings as they stand: each key once, every value with its line."""

import json
import re
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import yaml

from seamark.errors import ConfigError

Keys = tuple[str | int, ...]
"""The way to a setting: keys of mappings and positions in lists."""

COMMAND_LINE = "--config"
READ_AS = {
    f"tag:yaml.org,2002:{tag}": kind for tag, kind in (("int", "number"), ("float", "number"), ("timestamp", "date"))
}
"""What texts without quotes are taken for by their look."""


@dataclass(frozen=True)
class Written:
    """A setting as it was written down: its value, None for mappings and lists, its key, and file and line."""

    text: str | None
    key: str
    where: str


class SettingsFile:
    """A file of settings, YAML or JSON, read as strictly as YAML would have it.

    Parameters
    ----------
    name : str
        What messages call it.
    content : bytes
        Of the whole file.
    lines : bool
        Whether it has lines that a reader could look up.

    Raises
    ------
    ConfigError
        If it is not UTF-8, or neither YAML nor JSON.
    """

    def __init__(self, name: str, content: bytes, lines: bool = True) -> None:
        self.name = name
        self._lines = lines
        self._text = _decoded(name, content)
        if _is_json(self._text):
            self._text = self._text.replace("\t", " ")  # the only thing in which JSON is no YAML
        try:
            self._loader = yaml.SafeLoader(self._text)
            self._root = self._loader.get_single_node()
        except (yaml.YAMLError, ValueError, RecursionError) as error:
            raise ConfigError(f"{name}: {_fault(error)}; write it like those in presets/") from error

    def settings(self) -> dict[str, Any]:
        """Return the settings by section; ConfigError with every fault, if it has some."""
        if problems := [*self._without_value()] or [*self.repeated(), *self._misread()]:
            raise ConfigError("\n".join(problems))
        try:
            found = yaml.safe_load(self._text)
        except (yaml.YAMLError, ValueError, TypeError, RecursionError) as error:
            raise ConfigError(f"{self.name}: {_fault(error)}; write it like those in presets/") from error
        if found is None:
            raise ConfigError(f"{self.name}: no settings stand in it; write {{}} where it shall have none")
        if not isinstance(found, dict):
            kind = "a list" if isinstance(found, list) else f"{found!s:.40}"
            raise ConfigError(f"{self.name}: expected settings by section, such as `run: demo`, found {kind}")
        return found

    def repeated(self) -> Iterator[str]:
        """Yield what is wrong with keys that stand twice, also as text and number: with the lines of both."""
        for keys, node in self._nodes():
            if not isinstance(node, yaml.MappingNode):
                continue
            seen: dict[Any, yaml.Node] = {}
            for key, _ in node.value:
                if not isinstance(key, yaml.ScalarNode):
                    continue
                forms = (key.value, self._value(key))
                first = next((seen[form] for form in forms if form in seen), None)
                if first is not None:
                    same = "" if first.value == key.value else f" (once as {first.value})"
                    lines = f", on lines {_line(first)} and {_line(key)}" if self._lines else ""
                    yield f"{self.name}: {dotted((*keys, key.value))} stands twice{same}{lines}; keep one of them"
                seen |= dict.fromkeys(forms, key)

    def written(self, keys: Sequence[str | int]) -> Written | None:
        """Return how a setting was written down, None if it does not stand in this file."""
        found: tuple[str, yaml.Node] | None = ("", self._root) if self._root else None
        for key in keys:
            found = self._below(found[1], key) if found else None
        if found is None:
            return None
        name, node = found
        text = None
        if isinstance(node, yaml.ScalarNode):
            plain = self._text[node.start_mark.index : node.end_mark.index]
            text = node.value if node.style else re.sub(r"^([&!]\S*\s+)+", "", plain)
        return Written(text, name, self._where(node))

    def _below(self, node: yaml.Node, key: str | int) -> tuple[str, yaml.Node] | None:
        """Return what stands at a key of a mapping or at a position of a list; own keys before those merged in."""
        if isinstance(node, yaml.SequenceNode):
            return (str(key), node.value[key]) if isinstance(key, int) and key < len(node.value) else None
        merged: list[yaml.Node] = []
        for name, value in node.value if isinstance(node, yaml.MappingNode) else ():
            if isinstance(name, yaml.ScalarNode) and key in (name.value, self._value(name)):
                return name.value, value
            if name.tag == "tag:yaml.org,2002:merge":
                merged += value.value if isinstance(value, yaml.SequenceNode) else [value]
        return next((found for part in merged if (found := self._below(part, key))), None)

    def _where(self, node: yaml.Node) -> str:
        return f"{self.name}, line {_line(node)}" if self._lines else self.name

    def _value(self, node: yaml.ScalarNode) -> Any:
        """Return what a scalar means; its text where that is nothing, as for the key `<<`."""
        try:
            return self._loader.construct_document(node)
        except (ValueError, yaml.YAMLError):
            return node.value

    def _nodes(self) -> Iterator[tuple[Keys, yaml.Node]]:
        """Yield every node once, however many aliases lead to it, with the keys of the first way to it."""
        waiting: list[tuple[Keys, yaml.Node]] = [((), self._root)] if self._root else []
        seen: set[int] = set()
        while waiting:
            keys, node = waiting.pop(0)
            if id(node) in seen:
                continue
            seen.add(id(node))
            yield keys, node
            if isinstance(node, yaml.MappingNode):
                waiting += [((*keys, getattr(key, "value", "?")), value) for key, value in node.value]
            elif isinstance(node, yaml.SequenceNode):
                waiting += [((*keys, position), value) for position, value in enumerate(node.value)]

    def _without_value(self) -> Iterator[str]:
        """Yield words between commas that YAML takes for keys: of a list without brackets, a number with commas."""
        for keys, node in self._nodes():
            for key, value in node.value if isinstance(node, yaml.MappingNode) else ():
                between = self._text[key.end_mark.index : value.start_mark.index]
                if isinstance(value, yaml.ScalarNode) and not value.value and ":" not in between:
                    path = dotted((*keys, getattr(key, "value", "?")))
                    yield (
                        f"{self._where(key)}: {path}: stands between commas without a value; write a list as [a, b], "
                        "a number without commas, as 2.5 or 1000000"
                    )

    def _misread(self) -> Iterator[str]:
        """Yield scalars that are no value at all, and numbers that YAML reads as others than they look like."""
        for keys, node in self._nodes():
            if not isinstance(node, yaml.ScalarNode):
                continue
            path, value = dotted(keys), self._value(node)
            digits = node.value.replace("_", "").lstrip("+-")
            if node.tag in READ_AS and isinstance(value, str):
                yield f"{self._where(node)}: {path}: {node.value} is no {READ_AS[node.tag]} that can be read; quote it"
            elif node.tag in READ_AS and (":" in digits or (digits.isdigit() and int(digits) != abs(value))):
                kind = READ_AS[node.tag]
                write = f"write {value}, or " if kind == "number" else ""
                yield (
                    f"{self._where(node)}: {path}: {node.value} is read as the {kind} {value}; {write}quote it: "
                    f'"{node.value}"'
                )


@dataclass(frozen=True)
class Sources:
    """The files that a configuration comes from, each laid over those before it, and where in them it stands."""

    layers: tuple[tuple[SettingsFile, Keys], ...] = ()

    def __add__(self, other: "Sources") -> "Sources":
        """Return these files with others laid over them."""
        return Sources(self.layers + other.layers)

    def below(self, *keys: str | int) -> "Sources":
        """Return the sources of a configuration that stands below some keys of this one."""
        return Sources(tuple((file, (*prefix, *keys)) for file, prefix in self.layers))

    def written(self, keys: Sequence[str | int]) -> Written | None:
        """Return how a setting was last written down, None if it stands in no file."""
        found = (file.written((*prefix, *keys)) for file, prefix in reversed(self.layers))
        return next((written for written in found if written is not None), None)


UNKNOWN = Sources()
"""The sources of a configuration that comes from no file."""


def command_line_file(entry: str) -> SettingsFile:
    """Return a ``name=value`` of ``--config`` as a file of settings; ConfigError if its value is no YAML."""
    name, _, value = entry.partition("=")
    return SettingsFile(COMMAND_LINE, f"{name}:\n{textwrap.indent(value, '  ')}".encode(), lines=False)


def dotted(keys: Sequence[str | int]) -> str:
    """Return the way to a setting as messages show it: ``data.categories, entry 2``."""
    words = [f", entry {key + 1}" if isinstance(key, int) else f".{key}" for key in keys]
    return "".join(words).removeprefix(".").removeprefix(", ")


def mapping_at(raw: Any, *keys: str | int) -> Mapping[str, Any]:
    """Return what stands below some keys of a configuration that was not validated; empty if that is no mapping."""
    for key in keys:
        raw = raw.get(key) if isinstance(raw, Mapping) else None
    return raw if isinstance(raw, Mapping) else {}


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True


def _decoded(name: str, content: bytes) -> str:
    wide = content[:2] in (b"\xff\xfe", b"\xfe\xff") or b"\0" in content[:4]
    try:
        if not wide:
            return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        problem, encoding = f"line {line} holds bytes that are no UTF-8", "LATIN1"
    else:
        problem, encoding = "is written in UTF-16 or UTF-32, not in UTF-8", "UTF-16"
    raise ConfigError(f"{name}: {problem}; save it as UTF-8: iconv -f {encoding} -t UTF-8 <file> > <new file>")


def _fault(error: Exception) -> str:
    """Say in one line why a text is no YAML."""
    if not isinstance(error, yaml.MarkedYAMLError) or error.problem_mark is None:
        return f"not YAML ({' '.join(str(error).split())})"
    line = f"line {error.problem_mark.line + 1}"
    if isinstance(error, yaml.constructor.ConstructorError):
        return f"{line}: expected text, numbers, true, false, null, lists and settings by name, without tags (!name)"
    remedy = "; indent with spaces, not with tabs" if "'\\t'" in str(error.problem) else ""
    return f"{line}: not YAML ({': '.join(filter(None, (error.context, error.problem)))}){remedy}"


def _line(node: yaml.Node) -> int:
    return int(node.start_mark.line) + 1
