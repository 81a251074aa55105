"""config.schema.json is generated: run ``pytest tests/docs --fix`` after a change of the settings."""

import json
from pathlib import Path

from seamark.settings.config import configuration_schema

SCHEMA = Path(__file__).parents[2] / "config.schema.json"


def generated_schema():
    return json.dumps(configuration_schema(), indent=1, sort_keys=True) + "\n"


def test_schema_is_in_step_with_the_settings(fix):
    if fix:
        SCHEMA.write_text(generated_schema())
    assert SCHEMA.read_text() == generated_schema(), "run: pytest tests/docs --fix"
