"""What a request to the gateway is about: a model that its body names, or the list of models."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from app.api.problems import BadRequestError, ModelNotFoundError

if TYPE_CHECKING:
    from collections.abc import Mapping

_LONGEST_MODEL = 320  # <namespace>/<name>: a label and a subdomain.
_MODELS = "/v1/models"


class _Question(msgspec.Struct):
    """All that is read of a body; the rest is passed over unbuilt. Of two models the last counts."""

    model: str


_QUESTION = msgspec.json.Decoder(_Question)


def asks_for_models(method: str, path: str) -> bool:
    """Whether a request is about no model, but for the list of them, or for one on it."""
    listing = path == _MODELS or (path.startswith(_MODELS + "/") and "/.." not in path)
    return method == "GET" and listing


def named_model(headers: Mapping[bytes, bytes], body: bytes) -> str:
    """The model that a body names.

    Raises:
        BadRequestError: the body is not plain JSON, or names none; the message says which.
        ModelNotFoundError: no model can have such a name.
    """
    if headers.get(b"content-encoding", b"identity") != b"identity":
        raise BadRequestError("The body is compressed; send it as plain JSON.")
    if not body:
        raise BadRequestError("There is no body; expected JSON, an object with a `model`.")
    try:
        model = _QUESTION.decode(body).model
    except msgspec.ValidationError:
        model = ""
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise BadRequestError("The body is not JSON; expected an object with a `model`.") from None
    if not model:
        raise BadRequestError('The body names no `model`; expected a string such as "qwen3".')
    if len(model) > _LONGEST_MODEL:
        raise ModelNotFoundError(model[:_LONGEST_MODEL] + "…")
    return model
