"""Problems of a configuration in the words of its files: every error of the schema is translated here."""

import difflib
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from itertools import takewhile
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from seamark.settings.base import NAME
from seamark.settings.written import COMMAND_LINE, Keys, Sources, dotted, mapping_at

RENAMED = {
    "relight": "light_variants",
    "released": "robis",
    "validation_relit": "validation_variants",
    "appearance": "colour_jitter",
    "appearance_strength": "colour_jitter_strength",
    "appearance_probability": "colour_jitter_probability",
}
"""Keys and values of older configurations, and what they are called now."""

MOST_PLACES = 3
"""Places that are named at most for a key that stands at the wrong one."""
MOST_LETTERS = 60
SURE = 0.8
"""Likeness from which on a key is taken for a misspelt one rather than for a key of another place."""

Schema = Mapping[str, Any]


@dataclass(frozen=True)
class Translation:
    """Turns errors of pydantic into lines that name the setting, what stands there and what is expected.

    Parameters
    ----------
    schema : mapping
        JSON schema of the whole configuration.
    raw : mapping
        The configuration that has errors.
    sources : Sources
        The files that it comes from.
    """

    schema: Schema
    raw: Mapping[str, Any]
    sources: Sources

    def lines(self, error: ValidationError, at: Keys = ()) -> list[str]:
        """Return one line per setting that has errors; ``at`` is where the settings stand that were validated."""
        found = [(self._keys(at, problem), problem) for problem in error.errors(include_url=False)]
        lines: dict[str, None] = {}
        for keys, problem in found:
            if problem["type"] == "value_error":
                where = f"{dotted(keys)}{self._place(keys)}: " if keys else ""
                lines |= dict.fromkeys(where + line for line in str(problem["ctx"]["error"]).splitlines())
            elif problem["type"] == "extra_forbidden":
                lines[f"{dotted(keys)}: unknown key{self._place(keys)}{self.advice(keys)}"] = None
            elif _is_of_key(problem):
                lines[self._bad_key(keys, problem["input"])] = None
            elif not any(_is_below(other, keys) for other, _ in found) and (schema := self._schema_at(keys)):
                # All alternatives of a setting fail; the one that got furthest is the one that is meant.
                lines[f"{dotted(keys)}: {self._mismatch(keys, schema)}"] = None
        return list(lines)

    def _keys(self, at: Keys, problem: ErrorDetails) -> Keys:
        """Return the way to a setting that has an error: of its location, what is no name of an alternative."""
        keys, value = list(at), self._value(at)
        location = problem["loc"]
        if _is_of_key(problem):
            location = location[: -1 if problem["type"] == "invalid_key" else -2]
        for part in location:
            inside = isinstance(value, Mapping) and part in value
            if inside or (isinstance(part, int) and isinstance(value, list | tuple) and part < len(value)):
                keys.append(part)
                value = value[part]
        return tuple(keys)

    def _value(self, keys: Keys) -> Any:
        value: Any = self.raw
        for key in keys:
            value = value[key]
        return value

    def _place(self, keys: Keys) -> str:
        written = self.sources.written(keys)
        return f" ({written.where})" if written else ""

    def _bad_key(self, keys: Keys, key: Any) -> str:
        """Say what is wrong with a key of a mapping that takes any names."""
        written = self.sources.written((*keys, key))
        text = written.key if written else shown(key)
        what = f"{dotted((*keys, text))}{self._place((*keys, key))}: "
        if isinstance(key, str):
            return f"{what}expected {_expected_text({'pattern': NAME})}, found {text}"
        parts = list(self._branches(self._schema_at(keys)))
        names = not any("patternProperties" in part for part in parts) or re.match(NAME, text)
        quoted = names and not any("properties" in part for part in parts)
        remedy = f'; quote it: "{text}"' if quoted else ""
        return f"{what}expected a key that is text, found {text}, which is read as {_kind(key)}{remedy}"

    def _mismatch(self, keys: Keys, schema: Schema) -> str:
        """Say what is expected of a setting, what stands there, and what may be meant."""
        value = self._value(keys)
        if isinstance(value, str) and value in RENAMED:
            return f"{value} is called {RENAMED[value]} now{self._place(keys)}"
        written = self.sources.written(keys)
        text = shown(value) if written is None or written.text is None else written.text
        read = "" if isinstance(value, str | list | tuple | Mapping) else f", which is read as {_kind(value)}"
        found = f"found {text or 'nothing'}{self._place(keys)}" + (read if text != shown(value) else "")
        return f"expected {self._expected(schema)}, {found}{self._remedy(keys, schema, value, text)}"

    def _remedy(self, keys: Keys, schema: Schema, value: Any, text: str) -> str:
        kinds, words = self._types(schema), self._words(schema)
        if isinstance(value, str):
            return self._remedy_of_text(keys, kinds, value)
        if "object" in kinds and (value is None or isinstance(value, bool)):
            return self._remedy_of_section(keys, schema, value, text)
        if (value is None or value is False) and "none" in words:
            return "; write none"
        if not text:
            return "; leave the key out for its default"
        texts = [part for part in self._branches(schema) if part.get("type") == "string" and not _choices(part)]
        quoted = text in words or any(re.match(part.get("pattern", ""), text) for part in texts)
        if isinstance(value, list | tuple | Mapping | bytes) or not quoted:
            return ""
        place = self.sources.written(keys)
        shell = place is not None and place.where == COMMAND_LINE and len(keys) == 1
        return f"; quote it, for the shell too: '\"{text}\"'" if shell else f'; quote it: "{text}"'

    def _remedy_of_section(self, keys: Keys, schema: Schema, value: bool | None, text: str) -> str:
        """Say how a section is left out or switched, or which setting of the same name is."""
        if value is None:
            return "; write {} for its defaults"
        if "enabled" in self._names(schema, keys):
            return f"; write {{enabled: {text}}}"
        others = [path for path in self._places(keys) if path != dotted(keys)]
        return f"; the setting is {others[0]}" if others else ""

    def _remedy_of_text(self, keys: Keys, kinds: set[str], value: str) -> str:
        entry = self._schema_at((*keys, 0))
        if value.lower() == "none" and "null" in kinds:
            return "; write null"
        if kinds & {"integer", "number"} and (number := _whole(value)):
            return f"; write {number}"
        listed = "array" in kinds and ("string" in self._types(entry) or value in self._words(entry))
        return f"; write it as a list: [{value}]" if listed else ""

    def _branches(self, schema: Schema) -> Iterator[Schema]:
        """Yield the alternatives of a setting, references resolved."""
        while "$ref" in schema:
            schema = self.schema["$defs"][schema["$ref"].rpartition("/")[2]]
        for part in schema.get("anyOf", ()):
            yield from self._branches(part)
        if "anyOf" not in schema:
            yield schema

    def _types(self, schema: Schema) -> set[str]:
        """Return the kinds of values that a setting takes; a word of a list is none."""
        return {part["type"] for part in self._branches(schema) if "type" in part and not _choices(part)}

    def _words(self, schema: Schema) -> list[Any]:
        return [word for part in self._branches(schema) for word in _choices(part)]

    def _schema_at(self, keys: Keys) -> Schema:
        schema: Schema = self.schema
        for key in keys:
            schema = next((below for part in self._branches(schema) for below in _below(part, key)), {})
        return schema

    def _expected(self, schema: Schema) -> str:
        return " or ".join(dict.fromkeys(self._expected_of(part) for part in self._branches(schema)))

    def _expected_of(self, part: Schema) -> str:
        if words := _choices(part):
            return "one of " + ", ".join(map(str, words)) if len(words) > 1 else f"the word {words[0]}"
        entries = part.get("prefixItems") or [part.get("items", {})]
        few = f" of {len(entries)}" if "prefixItems" in part else " that is not empty" if "minItems" in part else ""
        kinds = {
            "array": f"a list{few}" + (f", each entry {self._expected(entries[0])}" if entries[0] else ""),
            "object": "settings by name",
            "integer": f"a whole number{_range(part)}",
            "number": f"a number{_range(part)}",
            "boolean": "true or false",
            "null": "null",
        }
        return kinds.get(part["type"]) or _expected_text(part)

    def advice(self, keys: Keys) -> str:
        """Say what an unknown key is called or where it belongs, or list the keys of its place."""
        key = str(keys[-1])
        valid = list(self._names(self._schema_at(keys[:-1]), keys[:-1]))
        if key in RENAMED:
            return f"; it is called {RENAMED[key]} now"
        if likely := _closest(key, valid, SURE):
            return f"; did you mean {likely}?"
        if places := self._places(keys):
            dots = ", which is a key below another: no dots in keys" if "." in key else ""
            return f"; it belongs at {' or '.join(places)}{dots}"
        value = self._value(keys)
        if len(keys) == 1 and isinstance(value, Mapping) and value and set(value) <= set(valid):
            return f"; settings of one category stand below overrides: overrides.{key}"
        return nearest(key, valid)

    def _names(self, schema: Schema, keys: Keys) -> Iterator[str]:
        """Yield the keys of a section: those that it has, and those that the configuration gives to it."""
        for part in self._branches(schema):
            yield from part.get("properties", ())
            if "patternProperties" in part:
                names = mapping_at(self.raw, *keys) or ("<name>",)
                yield from (name for name in names if isinstance(name, str))

    def _places(self, keys: Keys) -> list[str]:
        """Return where a key that is unknown at its place is known, likeliest first, misspelt ones after all."""
        *_, key = tail = tuple(str(keys[-1]).split("."))
        known = list(self._known(self.schema, ()))
        if not (found := [path for path in known if _plain(path[-len(tail) :]) == _plain(tail)]):
            likely = _closest(key, [str(path[-1]) for path in known], SURE)
            found = [path for path in known if path[-1] == likely]
        blocks = mapping_at(self.raw, "detectors")
        used = [path for path in found if path[0] != "detectors" or len(path) == 2 or path[1] in blocks]
        if keys[0] != "detectors" or len(keys) == 2:
            used = used or found

        def distance(path: Keys) -> tuple[int, int]:
            shared = takewhile(lambda pair: pair[0] == pair[1], zip(path, keys, strict=False))
            return -len(list(shared)), len(path)

        return [dotted(path) for path in sorted(used, key=distance)][:MOST_PLACES]

    def _known(self, schema: Schema, keys: Keys) -> Iterator[Keys]:
        """Yield the way to every key that the configuration can have."""
        for name in self._names(schema, keys):
            yield (*keys, name)
            for part in self._branches(schema):
                for below in _below(part, name):
                    yield from self._known(below, (*keys, name))


def nearest(name: str, valid: Sequence[str] | Mapping[str, Any]) -> str:
    """Say which valid name is the nearest, or list them when none is near."""
    close = _closest(name, valid, 0.5)
    return f"; did you mean {close}?" if close else f"; possible: {', '.join(valid) or 'none'}"


def shown(value: Any) -> str:
    """Return a value as it would stand in YAML, shortened."""
    if isinstance(value, Mapping):
        return "settings by name" if value else "{}"
    if isinstance(value, list | tuple):
        return f"a list of {len(value)}"
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    text = str(value) if not isinstance(value, bytes) else "binary data"
    text = text if text.isprintable() else ascii(text)[1:-1]
    return (text if len(text) <= MOST_LETTERS else text[:MOST_LETTERS] + "...") or '""'


def _closest(name: str, valid: Iterable[str], likeness: float) -> str | None:
    by_plain = {_plain((candidate,)): candidate for candidate in valid}
    close = difflib.get_close_matches(_plain((name,)), list(by_plain), n=1, cutoff=likeness)
    return by_plain[close[0]] if close else None


def _plain(keys: Keys) -> str:
    """Return keys without what is easily mistaken: capitals, dashes for underscores."""
    return ".".join(map(str, keys)).lower().replace("-", "_")


def _is_of_key(problem: ErrorDetails) -> bool:
    return problem["type"] == "invalid_key" or problem["loc"][-1:] == ("[key]",)


def _is_below(keys: Keys, place: Keys) -> bool:
    return len(keys) > len(place) and keys[: len(place)] == place


def _below(part: Schema, key: str | int) -> Iterator[Schema]:
    """Yield what a schema says of one of its keys or entries."""
    if isinstance(key, int):
        entries = part.get("prefixItems", ())
        yield from entries[key : key + 1] or filter(None, [part.get("items")])
    elif key in part.get("properties", ()):
        yield part["properties"][key]
    else:
        yield from part.get("patternProperties", {}).values()
        yield from filter(lambda below: isinstance(below, Mapping), [part.get("additionalProperties")])


def _choices(part: Schema) -> list[Any]:
    return list(part.get("enum") or ([part["const"]] if "const" in part else []))


def _expected_text(part: Schema) -> str:
    if part.get("format") == "path":
        return "a path"
    if part.get("pattern") == NAME:
        return "a name of at most 100 letters, digits, _ . and -, of which the first is a letter or a digit"
    return "text" + (" that is not empty" if part.get("minLength") == 1 else "")


def _range(part: Schema) -> str:
    words = {"minimum": "at least", "exclusiveMinimum": "above", "maximum": "at most", "exclusiveMaximum": "below"}
    limits = " and ".join(f"{word} {part[name]:.10g}" for name, word in words.items() if name in part)
    multiple = f", a multiple of {part['multipleOf']}" if "multipleOf" in part else ""
    return (f", {limits}" if limits else "") + multiple


def _kind(value: Any) -> str:
    """Return what YAML takes a value for."""
    if value is None or isinstance(value, bool):
        return shown(value)
    if isinstance(value, int | float):
        return f"the number {shown(value)}"
    return "a date" if isinstance(value, date) else shown(value)


def _whole(text: str) -> str | None:
    """Return the whole number that a text such as 1e5 stands for."""
    try:
        number = float(text)
    except ValueError:
        return None
    return str(int(number)) if number.is_integer() else None
