"""`maasctl`: everything about the platform from a terminal."""

from app.cli.root import main

__all__ = ["main"]
