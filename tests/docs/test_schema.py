"""config.schema.json is generated: run ``pytest tests/docs --fix`` after a change of the settings."""

import json
from pathlib import Path

import jsonschema
import pytest
import yaml

from seamark.settings.config import configuration_schema

SCHEMA = Path(__file__).parents[2] / "config.schema.json"


def generated_schema():
    return json.dumps(configuration_schema(), indent=1, sort_keys=True) + "\n"


def test_schema_is_in_step_with_the_settings(fix):
    if fix:
        SCHEMA.write_text(generated_schema())
    assert SCHEMA.read_text() == generated_schema(), "run: pytest tests/docs --fix"


@pytest.mark.parametrize(
    ("blocks", "wrong_at"),
    [
        ({"bank": {"type": "feature_bank", "bank_size": 9}}, []),
        ({"bank": {"bank_size": 9}}, []),  # its type may stand in another file
        ({"feature_bank": {"type": "feature_bank"}}, []),
        ({"bank": {"type": "feature_bank", "steps": 9}}, [["bank"]]),
        ({"bank": {"type": "feature_bank", "bank_size": 1}}, [["bank", "bank_size"]]),
        ({"bank": {"type": "bank"}}, [["bank", "type"]]),
        ({"urd": {"type": "feature_bank"}}, [["urd", "type"]]),
        ({"a/b": {"type": "urd"}}, [[]]),
    ],
)
def test_an_editor_knows_blocks_by_their_type(blocks, wrong_at):
    raw = yaml.safe_load((SCHEMA.parent / "config.yaml").read_text()) | {"detectors": blocks}
    found = list(jsonschema.Draft202012Validator(configuration_schema()).iter_errors(raw))
    assert [list(error.absolute_path) for error in found] == [["detectors", *place] for place in wrong_at]
