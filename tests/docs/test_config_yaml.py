"""config.yaml names every key with its comment: ``pytest tests/docs --fix`` rewrites it with its present values."""

from pathlib import Path

import pytest
import yaml
from pydantic import BaseModel

from seamark.settings.config import Config, deep_merge, load_config

ROOT = Path(__file__).parents[2]
HEADER = """\
# yaml-language-server: $schema=config.schema.json
#
# The offline demo: generated photographs, a backbone whose weights come with a Python package, minutes on two cores.
# Lay a preset over it with `snakemake --configfile presets/<name>.yaml ...`; mappings are merged, lists are replaced.
# Every key stands here with its meaning; what a preset leaves out keeps the value of this file.

"""


def scalar(value):
    return yaml.safe_dump(value, default_flow_style=True, width=1000, sort_keys=False).removesuffix("...\n").strip()


def rendered(model, indent=""):
    """One line per key, the description behind it; sections are followed by their keys."""
    lines = []
    for name, field in type(model).model_fields.items():
        value = getattr(model, name)
        comment = f"  # {field.description}" if field.description else ""
        if name == "detectors":
            types = {key: block["type"] for key, block in value.items() if "type" in block}
            value = model.detector_blocks
        if isinstance(value, BaseModel):
            lines += [f"{indent}{name}:{comment}", *rendered(value, indent + "  ")]
        elif isinstance(value, dict) and value and all(isinstance(part, BaseModel) for part in value.values()):
            lines.append(f"{indent}{name}:{comment}")
            for key, part in value.items():
                kind = [f"{indent}    type: {types[key]}  # detector"] if name == "detectors" and key in types else []
                lines += [f"{indent}  {key}:", *kind, *rendered(part, indent + "    ")]
        else:
            plain = model.model_dump(mode="json")[name]
            lines.append(f"{indent}{name}: {scalar(plain)}{comment}")
        if not indent:
            lines.append("")
    return lines


def expected(raw):
    return HEADER + "\n".join(rendered(load_config(raw))).rstrip() + "\n"


def test_config_yaml_names_and_explains_every_key(fix):
    path = ROOT / "config.yaml"
    text = expected(yaml.safe_load(path.read_text()))
    if fix:
        path.write_text(text)
    assert path.read_text() == text, "run: pytest tests/docs --fix"


def test_every_key_has_a_description():
    def undescribed(model, path):
        for name, field in model.model_fields.items():
            kind = field.annotation
            if isinstance(kind, type) and issubclass(kind, BaseModel):
                yield from undescribed(kind, f"{path}.{name}")
            elif not field.description:
                yield f"{path}.{name}"

    assert list(undescribed(Config, "config")) == []


@pytest.mark.parametrize("path", sorted((ROOT / "presets").glob("*.yaml")), ids=lambda path: path.stem)
def test_presets_are_valid_over_the_default(path):
    overlay = yaml.safe_load(path.read_text())
    load_config(deep_merge(yaml.safe_load((ROOT / "config.yaml").read_text()), overlay))
