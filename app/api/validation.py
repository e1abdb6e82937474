"""Values that are not acceptable, whoever finds them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pydantic import ValidationError


class InvalidBodyError(Exception):
    """A JSON body whose values are not acceptable.

    Attributes:
        errors: pydantic's list of them; only their places and messages may be shown.
    """

    def __init__(self, error: ValidationError) -> None:
        super().__init__("the body is not acceptable")
        self.errors: list[Any] = [
            {**entry, "loc": ("body", *entry["loc"])} for entry in error.errors(include_input=False)
        ]
