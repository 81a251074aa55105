"""Whatever a configuration says, planning accepts it or refuses it in words of the project that name the setting."""

import os
import re
from contextlib import chdir

import pytest
from hypothesis import HealthCheck, given, settings
from tests.workflow.drawn_configurations import CATEGORIES, configurations, planned

from seamark.errors import SeamarkError
from seamark.settings.config import Config

EXAMPLES = int(os.environ.get("SEAMARK_EXAMPLES", "300"))
FOREIGN = re.compile(
    r"Input should|should (?:be|have|match)|Unable to parse|Field required|not a valid|pydantic|Traceback|\w+Exception"
    r"|(?:Wildcard|Key|Index|Type|Value|Attribute|OS|Unicode\w+|Overflow)Error|<class|NoneType|\[key\]|(?:tuple|dict)\["
)
"""Words of pydantic, Snakemake and Python."""
NAMED = re.compile(rf"\b(?:{'|'.join(Config.model_fields)})(?:\.\S|: )|unknown key|^the configuration: ")
"""A setting with its section, or what is no setting at all."""


@pytest.fixture(scope="module")
def photographs(tmp_path_factory):
    """Empty files in folders with braces: planning opens none of them."""
    folder = tmp_path_factory.mktemp("planned")
    for category in CATEGORIES:
        for split, count in {"train/good": 12, "validation/good": 3, "test_public/good": 1}.items():
            place = folder / "own/{photographs}" / category / split
            place.mkdir(parents=True)
            for number in range(count):
                (place / f"{number:03d}_regular.png").touch()
        for split in ("test_private", "test_private_mixed"):
            place = folder / "own/{photographs}" / category / split
            place.mkdir()
            (place / "000_regular.png").touch()
    (folder / "own/{truth}/woven/test_private").mkdir(parents=True)
    (folder / "own/file").touch()
    return folder


@settings(
    max_examples=EXAMPLES, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck)
)
@given(drawn=configurations())
def test_a_configuration_is_planned_or_refused_by_the_name_of_a_setting(photographs, drawn):
    raw, places = drawn
    try:
        with chdir(photographs):
            planned(raw)
    except SeamarkError as error:
        message = str(error)
        assert not FOREIGN.search(message), (places, message)
        assert NAMED.search(message), (places, message)
