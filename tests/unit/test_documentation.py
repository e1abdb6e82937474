from __future__ import annotations

import random
import re
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast, get_args, get_origin

import annotated_types
import httpx
import pytest
import typer
from pydantic import AliasChoices, BaseModel

from app.cli.root import create_cli
from app.gateway.authorize import PREFIX
from app.main import create_public_app
from app.observability.metrics import Metrics
from app.observability.reference import written
from app.service import build
from app.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pydantic.fields import FieldInfo

    from app.kube.client import KubeClient

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", *sorted(DOCS.rglob("*.md"))]


@cache
def page(name: str) -> str:
    return (DOCS / name).read_text()


def table_rows(text: str) -> Iterator[list[str]]:
    """The cells of every row of every table."""
    for line in text.splitlines():
        if line.startswith("|"):
            yield [cell.strip() for cell in line.strip("|").split("|")]


# Settings


def kind(field: FieldInfo) -> str:
    """What may be given, in the words of docs/settings.md."""
    if get_origin(field.annotation) is Literal:
        return ", ".join(f"`{choice}`" for choice in get_args(field.annotation))
    if field.annotation is bool:
        return "`true`, `false`"
    name = {int: "whole number", float: "number"}.get(cast("type", field.annotation), "text")
    bounds = {type(bound): bound for bound in field.metadata}
    for bound, attribute, words in (
        (annotated_types.Ge, "ge", "from {}"),
        (annotated_types.Gt, "gt", "above {}"),
        (annotated_types.Le, "le", "to {}"),
    ):
        if bound in bounds:
            name += f", {words.format(getattr(bounds[bound], attribute))}"
    return name


def settings() -> Iterator[list[str]]:
    """The row of each setting in docs/settings.md."""
    for name, field in Settings.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            for inner, inner_field in field.annotation.model_fields.items():
                yield row(variable(f"MAAS_{name}_{inner}".upper(), inner_field), inner_field)
        elif isinstance(field.validation_alias, AliasChoices):
            yield row(" or ".join(f"`{alias}`" for alias in field.validation_alias.choices), field)
        else:
            yield row(f"`MAAS_{name}`".upper(), field)


def variable(name: str, field: FieldInfo) -> str:
    """Its name, and the one that others have made known."""
    extra = field.json_schema_extra
    also = str(extra.get("also", "")) if isinstance(extra, dict) else ""
    return f"`{name}` or `{also}`" if also else f"`{name}`"


def row(variable: str, field: FieldInfo) -> list[str]:
    default = "none" if field.default in (None, "") else f"`{field.default}`"
    if isinstance(field.default, bool):
        default = default.lower()
    return [variable, kind(field), default, str(field.description)]


@pytest.mark.parametrize("expected", list(settings()), ids=lambda expected: expected[0])
def test_every_setting_is_documented_as_it_is(expected: list[str]) -> None:
    assert expected in list(table_rows(page("settings.md")))


def test_no_setting_is_documented_that_does_not_exist() -> None:
    documented = {cells[0] for cells in table_rows(page("settings.md")) if cells[0].startswith("`")}

    assert documented == {expected[0] for expected in settings()}


# Metrics


def test_the_metrics_are_documented_as_they_are() -> None:
    assert written(page("metrics.md")) == page("metrics.md"), "run `make docs`"


# Events


def event_reasons() -> set[str]:
    sources = "\n".join(path.read_text() for path in (ROOT / "app").rglob("*.py"))
    return set(re.findall(r'events\.(?:warning|normal)\(\s*"(\w+)"', sources))


def test_every_event_is_explained_in_operations() -> None:
    assert {"MappingRejected", "MappingInForce"} <= event_reasons()
    assert event_reasons() <= {cells[0].strip("`") for cells in table_rows(page("operations.md"))}


# Endpoints and errors


async def openapi() -> dict[str, Any]:
    never_asked = cast("KubeClient", None)
    service = build(Settings(), never_asked, Metrics(), random=random.SystemRandom())
    transport = httpx.ASGITransport(app=create_public_app(service))
    async with httpx.AsyncClient(transport=transport, base_url="http://maas") as client:
        document: dict[str, Any] = (await client.get("/maas-api/openapi.json")).json()
        return document


async def test_every_public_endpoint_is_in_the_guide() -> None:
    for path, operations in (await openapi())["paths"].items():
        for method in operations:
            assert f"`{method.upper()} {path}`" in page("guide.md")


def test_every_endpoint_of_the_gateway_app_is_in_the_architecture() -> None:
    routes = re.findall(r'Route\("([^"]+)"', (ROOT / "app" / "main.py").read_text())

    assert routes
    for path in (*routes, PREFIX):
        assert path in page("architecture.md")


def problem_codes() -> set[str]:
    sources = {
        "app/api/problems.py": r'\b[45]\d\d,\s+"([a-z_]+)"|^_OPENAI_CODES = .*?: "([a-z_]+)"',
        "app/api/errors.py": r'\b[45]\d\d[:,] "([a-z_]+)"',
        "app/embedded/gateway/replies.py": r'\bcode="([a-z_]+)"',
    }
    return {
        code
        for source, pattern in sources.items()
        for found in re.finditer(pattern, (ROOT / source).read_text(), flags=re.MULTILINE)
        for code in found.groups()
        if code
    }


@pytest.mark.parametrize("code", sorted(problem_codes()))
def test_every_error_code_is_in_the_guide(code: str) -> None:
    assert any(f"`{code}`" in cells[1] for cells in table_rows(page("guide.md")) if len(cells) > 1)


def test_the_error_codes_are_found() -> None:
    assert {
        "invalid_token",
        "invalid_api_key",
        "internal_error",
        "not_found",
        "rate_limit_exceeded",
    } <= problem_codes()


# Commands, tests, links


def test_every_command_and_make_target_is_explained() -> None:
    text = "\n".join(path.read_text() for path in PAGES)
    commands = vars(typer.main.get_command(create_cli()))["commands"]
    targets = re.findall(r"^([a-z0-9-]+):.*## ", (ROOT / "Makefile").read_text(), flags=re.MULTILINE)

    assert commands
    assert targets
    for command in (*(f"maasctl {name}" for name in commands), *(f"make {name}" for name in targets)):
        assert re.search(rf"{command}\b", text), command


def commands(group: Any, prefix: str = "maasctl") -> Iterator[tuple[str, Any]]:
    """Every command, by its whole name."""
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from commands(command, f"{prefix} {name}")
        else:
            yield f"{prefix} {name}", command


def option_rows(command: Any) -> Iterator[list[str]]:
    """The rows of a command's table in docs/maasctl.md."""
    for parameter in command.params:
        names = [*parameter.opts, *parameter.secondary_opts]
        if parameter.param_type_name == "argument":
            names = [parameter.name.upper()]
        default = "" if parameter.default in (None, False, "", ()) else f"`{parameter.default}`"
        yield [", ".join(f"`{name}`" for name in names), default.replace("True", "true"), parameter.help]


COMMANDS = dict(commands(typer.main.get_command(create_cli())))


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_of_a_command_is_documented_as_it_is(name: str) -> None:
    sections = dict(re.findall(r"^## (.+)\n((?:(?!## ).*\n)*)", page("maasctl.md"), flags=re.MULTILINE))
    documented = [cells for cells in table_rows(sections[name]) if len(cells) == 3 and "`" in cells[0]]

    assert documented == list(option_rows(COMMANDS[name]))


def test_no_command_is_documented_that_does_not_exist() -> None:
    assert set(re.findall(r"^## (.+)$", page("maasctl.md"), flags=re.MULTILINE)) == set(COMMANDS)


def test_the_tests_that_are_named_exist() -> None:
    exist = {
        name
        for path in (ROOT / "tests").rglob("test_*.py")
        for name in re.findall(r"def (test_\w+)\(", path.read_text())
    }
    modules = {path.stem for path in (ROOT / "tests").rglob("test_*.py")}

    for path in PAGES:
        assert set(re.findall(r"\btest_\w+", path.read_text())) <= exist | modules, path


def anchors(path: Path) -> set[str]:
    """The fragments that the headings of a page can be linked by, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", path.read_text(), flags=re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_somewhere(path: Path) -> None:
    for target, anchor in re.findall(r"\]\((?!https?:)([^)#\s]*)(?:#([^)\s]+))?\)", path.read_text()):
        linked = (path.parent / target).resolve() if target else path
        assert linked.exists(), target
        assert not anchor or anchor in anchors(linked), f"{target}#{anchor}"


def test_the_index_lists_every_page() -> None:
    index = page("README.md")

    for path in DOCS.rglob("*.md"):
        name = path.relative_to(DOCS)
        assert str(name) == "README.md" or f"({name})" in index, name
