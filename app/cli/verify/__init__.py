"""`maasctl verify`: what it checks (`families`), how it runs, and how it shows what it found."""

from app.cli.verify.command import verify

__all__ = ["verify"]
