"""The reference of all settings, from the schema of the configuration."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

Schema = Mapping[str, Any]
HEAD = """\
# All settings

Every key of [config.yaml](../config.yaml), section by section, from its schema. A preset is laid over `config.yaml`, so
what it leaves out has the value given here, and so is a file of one's own: `snakemake --configfile mine.yaml ...`.
A workflow that has Seamark as a module hands such settings over. Blocks of detectors are given with their defaults.
"""
TABLE = "| setting | value | may be | meaning |\n|---|---|---|---|"
LIMITS = {"minimum": "≥ {}", "exclusiveMinimum": "> {}", "maximum": "≤ {}", "exclusiveMaximum": "< {}"}
KINDS = {"object": "mapping", "string": "text", "boolean": "`true`, `false`"}
UNKNOWN = object()


def settings_page(schema: Schema, values: Schema) -> str:
    """Return the page as Markdown.

    Parameters
    ----------
    schema : mapping
        JSON schema of the configuration.
    values : mapping
        ``config.yaml``.
    """
    sections = dict(schema["properties"])
    detectors = sections.pop("detectors")
    blocks = {name: part for name, part in sections.items() if _inside(part, schema)}
    alone = (row for name in sections.keys() - blocks.keys() for row in _rows((name,), sections[name], values, schema))
    parts = [HEAD, "## The run\n", TABLE, *sorted(alone), ""]
    for name, part in blocks.items():
        parts += [f"## {name}\n", _about(part, schema), TABLE, *_rows((), part, {"": values[name]}, schema), ""]
    parts += ["## detectors\n", _about(detectors, schema)]
    for name, part in detectors["properties"].items():
        parts += [f"### {name}\n", _about(part, schema), TABLE, *_rows((), part, {}, schema), ""]
    return "\n".join(parts)


def _rows(path: tuple[str, ...], part: Schema, above: Any, schema: Schema) -> Iterator[str]:
    """Yield a row for each setting at and below a path, with its value in ``above`` if it is there, or its default."""
    block = _resolved(part, schema)
    value = above.get(path[-1] if path else "", UNKNOWN) if isinstance(above, Mapping) else UNKNOWN
    value = part.get("default", block.get("default", block.get("const"))) if value is UNKNOWN else value
    inside = _inside(part, schema)
    if not inside or "anyOf" in block:
        meaning = part.get("description", block.get("description", ""))
        yield f"| `{'.'.join(path)}` | `{_text(value)}` | {_kinds(part, schema)} | {_cell(meaning)} |"
    for name, inner in inside.items():
        yield from _rows((*path, name), inner, value, schema)


def _inside(part: Schema, schema: Schema) -> Schema:
    """Return the settings of a block, be it one that may be null or one of many names; none of a plain setting."""
    block = _resolved(part, schema)
    for one in block.get("anyOf", ()):
        block = _resolved(one, schema) if "$ref" in one else block
    named = next(iter(block.get("patternProperties", {}).values()), {})
    return block.get("properties", {"<name>": named} if "$ref" in named else {})


def _resolved(part: Schema, schema: Schema) -> Schema:
    reference = part.get("$ref")
    return schema["$defs"][reference.rsplit("/", 1)[1]] if reference else part


def _about(part: Schema, schema: Schema) -> str:
    text = part.get("description", _resolved(part, schema).get("description", "")).split("\n\n")[0].strip()
    return f"{text[:1].upper()}{text[1:].rstrip('.')}.\n" if text else ""


def _kinds(part: Schema, schema: Schema) -> str:
    """Return in words what a setting may be."""
    block = _resolved(part, schema)
    if "anyOf" in block:
        return " or ".join(dict.fromkeys(_kinds(one, schema) for one in block["anyOf"]))
    if "enum" in block or "const" in block:
        return ", ".join(f"`{_text(one)}`" for one in block.get("enum", [block.get("const")]))
    if block.get("type") == "array":
        inner = block.get("prefixItems") or [block.get("items", {})]
        return "list of " + ", ".join(dict.fromkeys(_kinds(one, schema) for one in inner))
    limits = [text.format(block[limit]) for limit, text in LIMITS.items() if limit in block]
    return " ".join([KINDS.get(block.get("type", "any"), block.get("type", "any")), ", ".join(limits)]).strip()


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _cell(text: str) -> str:
    return text.replace("|", r"\|").replace("<", "&lt;").replace("*", r"\*")
