"""Common base of all settings blocks."""

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationInfo, field_validator
from pydantic_core import PydanticCustomError

Split = Literal[
    "train", "train_crossfit", "validation", "validation_variants", "test_public", "test_private", "test_private_mixed"
]
"""The five splits of MVTec AD 2, in the order in which the data set lists them, and those that only thresholds see."""

SPLITS: tuple[Split, ...] = ("train", "validation", "test_public", "test_private", "test_private_mixed")
"""Splits that a data set has."""

Layout = Literal["mvtec_ad_2", "mvtec_ad", "visa", "mvtec_3d_ad", "mvtec_loco", "real_iad", "folder"]
"""Folder layouts that are read."""

PHOTOGRAPHED: Mapping[str, Split] = {"train_crossfit": "train", "validation_variants": "validation"}
"""Of whose photographs the splits are that only thresholds see."""

UNUSABLE = {"Cc", "Cs", "Zl", "Zp"}
"""Kinds of characters that no setting and no name has: control codes, halves of broken UTF-8, breaks of lines."""

NAME = r"^[A-Za-z0-9][A-Za-z0-9_.-]*$"
"""What the name of a run, of a variation of it and of a grid looks like; each is the name of a folder."""
Name = Annotated[str, Field(pattern=NAME, max_length=100)]


def expanded(text: str) -> str:
    """Return a path with ``~`` and the variables of the environment, ``$NAME`` or ``${NAME}``, filled in.

    A path that exists as it is written stays, so that folders may have a dollar sign. Raises ValueError, naming the
    variable or the user that is not known, and for what can be no path.
    """
    if not text or "\0" in text:
        raise ValueError(f"expected a path, found {'one with a zero byte' if text else 'an empty text'}")
    if "$" in text and not os.path.lexists(text):
        names = [first or second for first, second in VARIABLE.findall(text)]
        if unknown := [name for name in names if name not in os.environ]:
            raise ValueError(
                f"{text}: ${unknown[0]} is not set in the environment, and there is no path of that very name; "
                f"export {unknown[0]}=..., or write the path out"
            )
        text = VARIABLE.sub(lambda found: os.environ[found[1] or found[2]], text)
    try:
        return str(Path(text).expanduser())
    except RuntimeError as error:
        raise ValueError(f"{text}: the home folder of {text.partition('/')[0]} is not known; write it out") from error


def _expanded(value: Any) -> Any:
    return expanded(value) if isinstance(value, str) else value


VARIABLE = re.compile(r"\$(?:([A-Za-z_]\w*)|\{([A-Za-z_]\w*)\})", re.ASCII)
PathSetting = Annotated[Path, BeforeValidator(_expanded)]
PathText = Annotated[str, BeforeValidator(_expanded)]
"""The path of a file or folder, or a word in place of one."""


class Settings(BaseModel):
    """A frozen settings block that refuses unknown keys, numbers that are infinite or none, and yes or no for one."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    @field_validator("*", mode="before")
    @classmethod
    def _kinds_are_kept_apart(cls, value: Any, info: ValidationInfo) -> Any:
        """Refuse true for 1, and binary data for text."""
        field = cls.model_fields[str(info.field_name)]
        number = {int, float} & {field.annotation, *get_args(field.annotation)}
        if isinstance(value, bytes) or (isinstance(value, bool) and number):
            raise PydanticCustomError("other_kind", "expected another kind of value")
        return value
