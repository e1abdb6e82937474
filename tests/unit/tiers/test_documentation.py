from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from app.tiers.errors import MappingError
from app.tiers.parser import parse_mapping

PAGE = (Path(__file__).parents[3] / "docs" / "tiers.md").read_text()
CONFIG_MAPS = [
    yaml.safe_load(block) for block in re.findall(r"```yaml\n(apiVersion:.*?)```", PAGE, flags=re.DOTALL)
]
MISTAKES = re.findall(r"```yaml\n([^`]*?)```\n\n```text\n(.*?)\n```", PAGE, flags=re.DOTALL)


@pytest.mark.parametrize("config_map", CONFIG_MAPS)
def test_the_examples_of_the_documentation_are_read(config_map: dict[str, dict[str, str]]) -> None:
    assert parse_mapping(config_map["data"]).tiers


@pytest.mark.parametrize(("text", "message"), MISTAKES)
def test_the_mistakes_of_the_documentation_are_told_as_it_says(text: str, message: str) -> None:
    with pytest.raises(MappingError) as caught:
        parse_mapping({"mapping.yaml": text})

    assert str(caught.value) == message


def test_the_documentation_has_examples_and_mistakes() -> None:
    assert len(CONFIG_MAPS) == 3
    assert len(MISTAKES) == 7


@pytest.mark.parametrize("data", [{"mapping.yml": ""}, {"mapping.yaml": "", "tiers": ""}])
def test_the_documentation_tells_about_wrong_keys(data: dict[str, str]) -> None:
    with pytest.raises(MappingError) as caught:
        parse_mapping(data)

    assert f"\n{caught.value}\n" in PAGE
