"""config.schema.json is generated: run ``pytest tests/docs --fix`` after a change of the settings."""

import json
from pathlib import Path

from seamark.registry import DETECTORS
from seamark.settings.config import Config, detector_settings_class

SCHEMA = Path(__file__).parents[2] / "config.schema.json"


def generated_schema():
    """The schema of the configuration with each detector's own block."""
    schema = Config.model_json_schema()
    blocks = {}
    for name in DETECTORS:
        block = detector_settings_class(name).model_json_schema()
        schema["$defs"].update(block.pop("$defs", {}))
        blocks[name] = block
    detectors = schema["properties"]["detectors"]
    schema["properties"]["detectors"] = {
        "description": detectors["description"],
        "type": "object",
        "properties": blocks,
        "additionalProperties": False,
    }
    return json.dumps(schema, indent=1, sort_keys=True) + "\n"


def test_schema_is_in_step_with_the_settings(fix):
    if fix:
        SCHEMA.write_text(generated_schema())
    assert SCHEMA.read_text() == generated_schema(), "run: pytest tests/docs --fix"
