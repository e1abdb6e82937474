"""Settings for a command, or its end with the names of the variables that are wrong."""

from __future__ import annotations

import typer
from pydantic import ValidationError
from pydantic_settings import SettingsError

from app.settings import Settings


def read_settings() -> Settings:
    """The settings that the environment gives.

    Raises:
        typer.Exit: code 2, when it has said which variable cannot be read, and why.
    """
    try:
        return Settings()
    except ValidationError as error:
        for problem in error.errors(include_input=False):
            name = "_".join(str(part) for part in ("MAAS", *problem["loc"])).upper()
            typer.echo(f"maasctl: setting {name}: {problem['msg']}", err=True)
    except SettingsError as error:
        typer.echo(f"maasctl: {error}; every setting has a variable, such as MAAS_LOG_LEVEL", err=True)
    raise typer.Exit(2)
