"""`maasctl deploy`: the guide's phases in order, each with what it waits for."""

from app.cli.deploy.command import deploy

__all__ = ["deploy"]
