"""What models cost, to the last digit."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from app.tiers.errors import MAX_PROBLEMS, MappingError
from app.usage.amounts import Amounts
from app.usage.price_parser import MAX_MODELS, parse_prices
from app.usage.prices import Price, PriceList, plain

NUMBERS = st.decimals(0, 10**9, places=6).map(plain) | st.decimals(0, 10**6, places=12).map(plain)
PRICES = st.dictionaries(st.sampled_from(["prompt", "completion", "request"]), NUMBERS, min_size=1)
COUNTS = st.integers(0, 2**53)
MARKS = st.sampled_from("  \n\n::--{}[],,\"'a1~|>#<%@\\\t\r\x00\x85é\ufeff\u2028\ud800😀.eE+")
WORDS = st.sampled_from(
    ["currency:", "USD", "models:", "prompt:", "request:", "&a ", "*a", "!x ", "---\n", ".nan"]
)


def read(text: str) -> PriceList:
    return parse_prices({"pricing.yaml": text})


def refusal(text: str) -> str:
    with pytest.raises(MappingError) as caught:
        read(text)
    return str(caught.value)


def test_prices_are_read_as_they_are_written() -> None:
    prices = read(
        "currency: USD\nmodels:\n  qwen3: {prompt: 0.10, completion: 3, request: 0}\n"
        "  ns/other: {request: 1}\n"
    )
    assert prices.currency == "USD"
    assert prices.models == {
        "qwen3": Price(Decimal("0.10"), Decimal(3), Decimal(0)),
        "ns/other": Price(request=Decimal(1)),
    }


@pytest.mark.parametrize(
    "number",
    ["-1", "-0.0", ".nan", ".inf", "1e3", "1.0e+3", "010", "1_000", "0x10", "1:30", "'1'", "true", "~", "[1]",
     "1.", ".5", "1000000001", "1000000000.000000000001", "0.0000000000001", "9" * 1000, "\uff19"],
)  # fmt: skip
def test_what_is_no_price_is_refused_with_its_place(number: str) -> None:
    error = refusal(f"currency: USD\nmodels:\n  qwen3:\n    prompt: {number}\n")
    assert error.startswith("pricing.yaml: line 4, column 13: models.qwen3.prompt: expected a number from 0")
    assert len(error) < 300


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "found nothing"),
        ("~", "found nothing"),
        ("[]", "expected a mapping with `currency`, `models`, found a list"),
        ("models: {}", "currency: is missing"),
        ("currency: USD", "models: is missing"),
        ("currency: 5\nmodels: {}", "currency: expected text"),
        ("currency: U$D\nmodels: {}", "expected a letter"),
        ("currency: USD\nmodels: []", "models: expected a mapping of model ids, found a list"),
        ("currency: USD\nmodels: {a: {}}", "expected at least one of"),
        ("currency: USD\nmodels: {a: 1}", "models.a: expected a mapping"),
        ("currency: USD\nmodels: {a: {Prompt: 1}}", "did you mean `prompt`?"),
        (
            "currency: USD\nmodels: {a: {prompt: 1}, a: {prompt: 2}}",
            "is given twice; the first time in line 2",
        ),
        ("currency: USD\nmodels: {a: {prompt: 1, prompt: 2}}", "is given twice"),
        ("currency: USD\nmodels: {'': {prompt: 1}}", "not an id of a model"),
        ('currency: USD\nmodels: {"a\\nb": {prompt: 1}}', "not an id of a model"),
        (f"currency: USD\nmodels: {{{'x' * 321}: {{prompt: 1}}}}", "not an id of a model"),
        ("currency: USD\nmodels: {5: {prompt: 1}}", "a key must be text"),
        ("currency: USD\nmodels: &a {b: *a}", "aliases"),
        ("currency: USD\nmodels: {}\n---\n", "expected one document"),
        ("currency: USD\nmodels: {", "not valid YAML"),
        ("x" * 1_100_000, "expected at most 1048576 bytes"),
        ("[" * 5000, "nested more than"),
    ],
)
def test_what_is_no_list_of_prices_is_refused(text: str, said: str) -> None:
    assert said in refusal(text)


def test_a_list_of_too_many_models_is_refused() -> None:
    models = {f"model-{number}": {"prompt": 1} for number in range(MAX_MODELS + 1)}
    assert "expected at most 1000 models, found 1001" in refusal(
        yaml.safe_dump({"currency": "X", "models": models})
    )


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ({}, "found no key at all"),
        (None, "found no key at all"),
        ({"prices.yaml": ""}, "rename `prices.yaml`"),
    ],
)
def test_the_key_is_asked_for(data: dict[str, str] | None, said: str) -> None:
    with pytest.raises(MappingError, match=r"the ConfigMap needs the key `pricing\.yaml`") as caught:
        parse_prices(data)
    assert said in str(caught.value)


@given(st.dictionaries(st.from_regex(r"[a-z0-9][a-z0-9./-]{0,40}", fullmatch=True), PRICES, max_size=5))
def test_prices_written_as_yaml_are_read_back(models: dict[str, dict[str, str]]) -> None:
    lines = []
    for model, price in models.items():
        numbers = ", ".join(f"{name}: {number}" for name, number in price.items())
        lines.append(f'  "{model}": {{{numbers}}}')
    prices = read("\n".join(["currency: EUR", "models:" if lines else "models: {}", *lines]))
    assert prices.models == {
        model: Price(**{name: Decimal(number) for name, number in price.items()})
        for model, price in models.items()
    }


@given(st.text() | st.lists(WORDS | MARKS, max_size=40).map("".join))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        read(text)
    except MappingError as error:
        assert 1 <= len(error.problems) <= MAX_PROBLEMS  # noqa: PT017  # either is fine


@given(PRICES, COUNTS, COUNTS, COUNTS)
def test_costs_are_exact(price: dict[str, str], prompt: int, completion: int, answered: int) -> None:
    amounts = Amounts(answered=answered, prompt_tokens=prompt, completion_tokens=completion)
    prices = PriceList("USD", {"m": Price(**{name: Decimal(number) for name, number in price.items()})})
    cost = prices.cost("m", amounts)
    assert cost is not None
    expected = (
        Fraction(price.get("prompt", "0")) * prompt / 10**6
        + Fraction(price.get("completion", "0")) * completion / 10**6
        + Fraction(price.get("request", "0")) * answered
    )
    assert Fraction(plain(cost)) == expected
    total = prices.total({"m": amounts, "unpriced": amounts})
    assert total is not None
    assert Fraction(plain(total)) == expected


def test_what_has_no_price_has_no_cost() -> None:
    used = Amounts(answered=1, prompt_tokens=5)
    prices = PriceList("USD", {"priced": Price(request=Decimal("0.5")), "gratis": Price(prompt=Decimal(0))})
    assert prices.cost("other", used) is None
    assert prices.cost("gratis", used) == 0
    assert prices.total({"other": used}) is None
    assert prices.total({"other": used, "priced": used}) == Decimal("0.5")
    assert prices.total({}) == 0
    assert PriceList().total({}) is None


@pytest.mark.parametrize(
    ("amount", "text"),
    [
        ("0", "0"),
        ("0E-9", "0"),
        ("1E+3", "1000"),
        ("100", "100"),
        ("0.1000", "0.1"),
        ("1E-12", "0.000000000001"),
    ],
)
def test_amounts_are_written_with_all_of_their_digits(amount: str, text: str) -> None:
    assert plain(Decimal(amount)) == text
