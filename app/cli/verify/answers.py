"""What an answer of the gateway says, in one line and without secrets."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import httpx

_LONGEST = 200


def code(response: httpx.Response) -> str:
    """The stable `code` of an error, in either of the two shapes; empty if there is none."""
    document = body(response)
    error = document.get("error")
    found = (error if isinstance(error, dict) else document).get("code")
    return found if isinstance(found, str) else ""


def line(response: httpx.Response) -> str:
    """Status, code, and the message for people."""
    document = body(response)
    error = document.get("error")
    message = (error.get("message") if isinstance(error, dict) else document.get("detail")) or response.text
    text = " ".join(str(message).split())[:_LONGEST]
    return " ".join(filter(None, (str(response.status_code), code(response), text)))


def body(response: httpx.Response) -> dict[str, Any]:
    """The JSON object of an answer; an empty one if it is something else."""
    try:
        document = response.json()
    except ValueError:
        return {}
    return document if isinstance(document, dict) else {}
