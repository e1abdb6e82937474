from __future__ import annotations

import json

import pytest

from app.cli.tiers.doubts import doubts
from app.cli.tiers.file import UnreadableFileError, read_mapping
from app.tiers.mapping import Tier, TierMapping
from tests.kustomize import MANIFESTS

NAME = "tier-to-group-mapping"
GOOD = "tiers:\n  free: {groups: [everyone], rateLimit: {requestsPerMinute: 10}}\n"
LIST = "- {name: free, groups: [everyone]}\n"


def config_map(key: str, text: str, *, indent: int = 4) -> str:
    body = "".join(" " * indent + line for line in text.splitlines(keepends=True))
    return f"apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {NAME}}}\ndata:\n  {key}: |\n{body}"


def problems(text: str) -> list[str]:
    with pytest.raises(UnreadableFileError) as failed:
        read_mapping(text.encode(), "mine.yaml", NAME)
    return str(failed.value).splitlines()


@pytest.mark.parametrize(
    "text",
    [
        GOOD,
        "\ufeff" + GOOD,
        LIST,
        config_map("mapping.yaml", GOOD),
        config_map("tiers", LIST),
        f"kind: Namespace\n---\n{config_map('mapping.yaml', GOOD)}---\nkind: Service\n",
        json.dumps({"kind": "ConfigMap", "metadata": {"name": NAME}, "data": {"mapping.yaml": GOOD}}),
    ],
    ids=[
        "alone",
        "with a byte order mark",
        "as a list",
        "in the ConfigMap",
        "as a list in it",
        "among others",
        "JSON",
    ],
)
def test_the_mapping_is_found_however_it_is_wrapped(text: str) -> None:
    mapping = read_mapping(text.encode(), "mine.yaml", NAME)

    assert [tier.name for tier in mapping.tiers] == ["free"]


def test_the_shipped_mapping_is_good() -> None:
    path = MANIFESTS / "base" / "tier-to-group-mapping.yaml"

    mapping = read_mapping(path.read_bytes(), str(path), NAME)

    assert [tier.name for tier in mapping.tiers] == ["free", "premium", "enterprise"]
    assert doubts(mapping) == []


def test_what_is_wrong_is_told_with_its_place_in_the_file() -> None:
    bad = "tiers:\n  free:\n    groups: [42]\n    rateLimit: {requestsPerMinute: 10}\n"

    (told,) = problems(bad)
    assert told == (
        "mine.yaml:3:14: tiers.free.groups[0]: expected text, found the number 42;"
        " put it in quotes if it is meant"
    )
    for indent in (4, 6):
        (line,) = problems(config_map("mapping.yaml", bad, indent=indent))
        row, column = (int(number) for number in line.split(":")[1:3])
        assert (
            config_map("mapping.yaml", bad, indent=indent)
            .splitlines()[row - 1][column - 1 :]
            .startswith("42")
        )


def test_everything_that_is_wrong_is_told_at_once() -> None:
    lines = problems("tiers:\n" + "".join(f"  T{number}: {{}}\n" for number in range(30)))

    assert len(lines) == 21
    assert lines[-1] == "mine.yaml: reading stopped here; there may be more"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "expected a mapping `tiers:` of tier names, found nothing"),
        ("tiers: {", "not valid YAML"),
        ("a: b\n---\nc: d\n", "expected one document"),
        ("kind: Secret\nmetadata: {name: x}\n", "no ConfigMap tier-to-group-mapping is in it, only: Secret"),
        (f"kind: ConfigMap\nmetadata: {{name: {NAME}}}\n", "the ConfigMap needs the key `mapping.yaml`"),
        (f"kind: ConfigMap\nmetadata: {{name: {NAME}}}\ndata: {{mapping.yaml: ''}}\n", "found nothing"),
        (config_map("mapping.yaml", "\n"), "found nothing"),
        ("x" * (2 * 1024 * 1024 + 1), "which no ConfigMap can hold"),
        ("[" * 5000, "nested more than"),
    ],
)
def test_bad_files_get_a_clear_message(text: str, said: str) -> None:
    assert said in problems(text)[0]


def test_a_file_that_is_no_text_is_said_to_be_none() -> None:
    with pytest.raises(UnreadableFileError, match="not UTF-8, at byte 3"):
        read_mapping(b"ab\xff", "mine.yaml", NAME)


def tier(name: str, *groups: str, level: int | None = None, requests: int = 10) -> Tier:
    return Tier(name, groups, level=level, requests_per_minute=requests)


EVERYONE = tier("free", "system:authenticated", requests=1)


@pytest.mark.parametrize(
    ("tiers", "said"),
    [
        ([tier("premium", "a")], "no tier has the group system:authenticated"),
        ([EVERYONE, tier("low", "a", requests=2), tier("high", "a", requests=3)], "nobody gets the tier low"),
        (
            [EVERYONE, tier("low", "a", "b", requests=2), tier("high", "a", requests=3)],
            "the group a is in low, high: its members get high",
        ),
        ([EVERYONE, tier("x", "a"), tier("y", "b")], "x and y rank alike"),
        (
            [
                tier("free", "system:authenticated", level=1, requests=9),
                tier("paid", "a", level=2, requests=5),
            ],
            "paid ranks above free and allows fewer requests",
        ),
        ([EVERYONE, tier("paid", "a", level=2)], "some tiers have a level and some have none"),
    ],
)
def test_what_is_hardly_meant_is_pointed_at(tiers: list[Tier], said: str) -> None:
    assert [doubt for doubt in doubts(TierMapping(tuple(tiers))) if said in doubt]
