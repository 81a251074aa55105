"""The detector of a block of the section ``detectors``: its ``type``, or its own name where it gives none."""

from collections.abc import Mapping
from importlib import import_module
from typing import Any

from pydantic import ValidationInfo, field_validator

from seamark.registry import DETECTORS
from seamark.settings.base import NAME, Settings
from seamark.settings.problems import nearest, shown
from seamark.settings.written import mapping_at


def detector_settings_class(kind: str) -> type[Settings]:
    """Return the settings class of a registered detector, without importing the detector itself."""
    module, _, class_name = DETECTORS[kind].settings.partition(":")
    found: type[Settings] = getattr(import_module(module), class_name)
    return found


def detector_type(name: str, block: Any) -> str:
    """Return the detector that a block, which need not be valid, is of; it may be none that is registered."""
    kind = mapping_at(block).get("type", name)
    return kind if isinstance(kind, str) else name


def without_type(block: Any) -> Any:
    """Return what a block says to the settings class of its detector; what is no mapping stays as it is."""
    return {key: value for key, value in block.items() if key != "type"} if isinstance(block, Mapping) else block


def detector_settings(name: str, block: Any) -> Settings:
    """Return the validated settings of a block whose detector is registered; pydantic's error if they are not valid."""
    return detector_settings_class(detector_type(name, block)).model_validate(without_type(block))


class TypeSetting(Settings):
    """The one key of a block that is not its detector's; it is validated with the block's name as context."""

    type: Any

    @field_validator("type")
    @classmethod
    def _is_a_detector(cls, kind: Any, info: ValidationInfo) -> str:
        if not (isinstance(kind, str) and kind in DETECTORS):
            raise ValueError(f"expected the name of a detector, found {shown(kind)}{nearest(str(kind), DETECTORS)}")
        if info.context in DETECTORS and info.context != kind:
            raise ValueError(f"{info.context} is a detector itself; give a block of type {kind} a name of its own")
        return kind


def detectors_schema(description: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the JSON schema of the section, and the definitions that it refers to.

    A block under the name of a detector has its settings; one under any other name those of its ``type``, and any
    where that stands in a file below.
    """
    definitions: dict[str, Any] = {}
    for kind in DETECTORS:
        block = detector_settings_class(kind).model_json_schema()
        definitions |= block.pop("$defs", {})
        block["properties"]["type"] = {"const": kind, "description": "detector", "type": "string"}
        definitions[kind] = block
    references = {kind: {"$ref": f"#/$defs/{kind}"} for kind in DETECTORS}
    of_its_type = [
        {"if": {"properties": {"type": {"const": kind}}, "required": ["type"]}, "then": reference}
        for kind, reference in references.items()
    ]
    section = {
        "description": description,
        "type": "object",
        "properties": references,
        "propertyNames": {"pattern": NAME, "maxLength": 100},
        "additionalProperties": {
            "type": "object",
            "properties": {"type": {"enum": list(DETECTORS), "description": "detector"}},
            "allOf": of_its_type,
        },
    }
    return section, definitions
