"""What every settings block has in common."""

from typing import Literal

from pydantic import BaseModel, ConfigDict

Split = Literal["train", "validation", "validation_relit", "test_public", "test_private", "test_private_mixed"]
"""The five splits of MVTec AD 2, in the order in which the data set lists them, and variants of validation."""

SPLITS: tuple[Split, ...] = ("train", "validation", "test_public", "test_private", "test_private_mixed")
"""Splits that a data set has."""


class Settings(BaseModel):
    """A frozen settings block that refuses unknown keys."""

    model_config = ConfigDict(extra="forbid", frozen=True)
