"""`maasctl token`: MaaS tokens from a terminal."""

from app.cli.token.command import create_token

__all__ = ["create_token"]
