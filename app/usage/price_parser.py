"""Reads the prices from the ConfigMap `maas-pricing`, key `pricing.yaml`:

    currency: USD
    models:
      qwen3: {prompt: 0.20, completion: 0.60, request: 0.001}

`prompt` and `completion` are for a million tokens, `request` is for each. What is left out is not charged.
"""  # noqa: D415  # it ends with an example

from __future__ import annotations

import re
from decimal import Decimal
from difflib import get_close_matches
from typing import TYPE_CHECKING, Final

from app.tiers.document import Mapping, Report, Scalar, join, read_document
from app.tiers.errors import MappingError, Problem
from app.tiers.fields import Fields, expected
from app.usage.prices import Price, PriceList

if TYPE_CHECKING:
    from collections import abc

    from app.tiers.document import Node

KEY: Final = "pricing.yaml"
MAX_MODELS: Final = 1000
MAX_MODEL: Final = 320
"""<namespace>/<name>: a label and a subdomain."""
MAX_PRICE: Final = 1_000_000_000

_FORM: Final = "`currency` and a mapping `models` of model ids"
_PRICES: Final = ("prompt", "completion", "request")
# Decimal and nothing else: to YAML 1.1, 010 is eight, 1:30 is ninety, and 1e3 is text.
_NUMBER: Final = re.compile(r"(?:0|[1-9][0-9]{0,9})(?:\.[0-9]{1,12})?")
_NUMBER_RULE: Final = f"a number from 0 to {MAX_PRICE}, with at most 12 digits after the point"
_CURRENCY: Final = re.compile(r"[A-Za-z][A-Za-z0-9-]{0,15}")
# Control characters, line separators, and the marks that make text read in another order than it is stored.
_CONTROL: Final = re.compile("[\x00-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


def parse_prices(data: abc.Mapping[str, str] | None) -> PriceList:
    """Return the prices that the `data` of the ConfigMap describes.

    Raises:
        MappingError: The data leaves a doubt; says everything that is wrong with it.
    """
    data = data or {}
    if KEY not in data:
        keys = sorted(data)[:5]
        found = ", ".join(f"`{key}`" for key in keys) or "no key at all"
        near = get_close_matches(KEY, keys, n=1)
        hint = f"; rename `{near[0]}` if it is the one" if near else ""
        raise MappingError(
            [Problem(None, None, "", f"the ConfigMap needs the key `{KEY}`, found {found}{hint}")]
        )
    # Some editors put a byte order mark before the text.
    text = data[KEY].removeprefix("\ufeff")
    report = Report(KEY, text)
    root = read_document(report, text)
    if root is None or (isinstance(root, Scalar) and root.kind == "null"):
        report.stop(0, "", f"expected {_FORM}, found nothing")
    document = Fields(report, root, "", ("currency", "models"), index=root.index)
    currency = _currency(report, document)
    models = _models(report, document)
    report.check()
    return PriceList(currency, models)


def _currency(report: Report, document: Fields) -> str:
    entry = document.require("currency", "what prices are in, such as USD")
    if entry is None:
        return ""
    text = document.text("currency", 16)
    if text is not None and not _CURRENCY.fullmatch(text):
        rule = "a letter, then at most 15 letters, digits or `-`, such as USD"
        expected(report, entry.value, document.path("currency"), rule)
    return text or ""


def _models(report: Report, document: Fields) -> dict[str, Price]:
    entry = document.require("models", "a mapping of model ids")
    if entry is None:
        return {}
    node = entry.value
    if not isinstance(node, Mapping):
        expected(report, node, "models", "a mapping of model ids")
        return {}
    if len(node.entries) > MAX_MODELS:
        report.stop(node.index, "models", f"expected at most {MAX_MODELS} models, found {len(node.entries)}")
    prices = {}
    for model, found in node.entries.items():
        path = join("models", model)
        if not 1 <= len(model) <= MAX_MODEL or _CONTROL.search(model):
            report.add(
                found.index, path, f"not an id of a model: expected 1 to {MAX_MODEL} printable characters"
            )
        prices[model] = _price(report, found.value, path, found.index)
    return prices


def _price(report: Report, node: Node, path: str, index: int) -> Price:
    fields = Fields(report, node, path, _PRICES, index=index)
    price = Price(*(_number(report, fields, name) for name in _PRICES))
    if isinstance(node, Mapping) and not node.entries:
        report.add(index, path, "expected at least one of `prompt`, `completion` and `request`")
    return price


def _number(report: Report, fields: Fields, name: str) -> Decimal | None:
    entry = fields.get(name)
    if entry is None:
        return None
    node = entry.value
    if isinstance(node, Scalar) and node.kind in ("int", "float") and _NUMBER.fullmatch(node.text):
        number = Decimal(node.text)
        if number <= MAX_PRICE:
            return number
    expected(report, node, fields.path(name), _NUMBER_RULE)
    return None
