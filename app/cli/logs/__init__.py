"""`maasctl logs`: what it collects (`sources`), how, and what it takes out (`redaction`)."""

from app.cli.logs.command import logs

__all__ = ["logs"]
