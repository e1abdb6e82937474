from __future__ import annotations

import json
from textwrap import dedent
from time import perf_counter

import pytest

from app.tiers.document import MAX_BYTES
from app.tiers.errors import MAX_PROBLEMS, MappingError, Problem
from app.tiers.mapping import Tier, TierMapping
from app.tiers.parser import parse_mapping

CONTRACT = """\
tiers:
  free:       {groups: ["system:authenticated"], rateLimit: {requestsPerMinute: 10}}
  premium:    {groups: ["premium-users"],        rateLimit: {requestsPerMinute: 100}}
  enterprise: {groups: ["enterprise-users"],     rateLimit: {requestsPerMinute: 1000}}
"""

UPSTREAM = """\
# Free tier
- name: free
  displayName: Free Tier
  description: For everyone
  level: 0
  groups:
  - system:authenticated
- name: enterprise
  level: 20
  groups: [enterprise-users, admins]
- name: premium
  level: 10
  groups:
    - premium-users
"""

FREE = "{groups: [everyone], rateLimit: {requestsPerMinute: 10}}"


def parse(text: str) -> TierMapping:
    return parse_mapping({"mapping.yaml": dedent(text)})


def fail(text: str, key: str = "mapping.yaml") -> MappingError:
    with pytest.raises(MappingError) as caught:
        parse_mapping({key: dedent(text)})
    return caught.value


def only_problem(text: str, key: str = "mapping.yaml") -> Problem:
    (problem,) = fail(text, key).problems
    return problem


def fail_in_tier(fields: str) -> Problem:
    """Adds fields to a good tier; the line is always 5."""
    return only_problem(
        f"tiers:\n  free:\n    groups: [everyone]\n    rateLimit: {{requestsPerMinute: 10}}\n    {fields}\n"
    )


def fail_in_rate(value: str) -> Problem:
    return only_problem(
        f"tiers:\n  free:\n    groups: [everyone]\n    rateLimit:\n      requestsPerMinute: {value}\n"
    )


def fail_in_groups(groups: str) -> Problem:
    return only_problem(f"tiers:\n  free:\n    rateLimit: {{requestsPerMinute: 10}}\n    groups: {groups}\n")


class TestMappingForm:
    def test_the_example_of_the_guide_is_read_as_it_is(self) -> None:
        assert parse(CONTRACT).tiers == (
            Tier("free", ("system:authenticated",), requests_per_minute=10),
            Tier("premium", ("premium-users",), requests_per_minute=100),
            Tier("enterprise", ("enterprise-users",), requests_per_minute=1000),
        )

    def test_every_option_is_read(self) -> None:
        text = """
            tiers:
              gold-1:
                groups: [gold, "cn=gold,ou=groups", "10"]
                level: 7
                displayName: Gold 🥇
                description: |
                  For those who pay.
                  In gold.
                rateLimit:
                  requestsPerMinute: 60
                  tokensPerMinute: 100000
                maxTokens: 5
        """

        assert parse(text).tiers == (
            Tier(
                "gold-1",
                ("gold", "cn=gold,ou=groups", "10"),
                level=7,
                display_name="Gold 🥇",
                description="For those who pay.\nIn gold.\n",
                requests_per_minute=60,
                tokens_per_minute=100_000,
                max_tokens=5,
            ),
        )

    def test_json_is_yaml_too(self) -> None:
        tiers = {"free": {"groups": ["everyone"], "rateLimit": {"requestsPerMinute": 10}}}

        assert parse(json.dumps({"tiers": tiers})) == parse(f"tiers: {{free: {FREE}}}")

    @pytest.mark.parametrize(
        "text", ["\ufeff" + CONTRACT, CONTRACT.replace("\n", "\r\n"), f"---\n{CONTRACT}...\n"]
    )
    def test_byte_order_marks_windows_line_ends_and_document_marks_are_no_matter(self, text: str) -> None:
        assert parse(text) == parse(CONTRACT)

    def test_an_anchor_that_nothing_refers_to_is_no_matter(self) -> None:
        assert parse(f"tiers: {{free: &free {FREE}}}") == parse(f"tiers: {{free: {FREE}}}")

    def test_a_group_may_be_in_two_tiers(self) -> None:
        mapping = parse(f"tiers: {{premium: {FREE.replace('10', '100')}, free: {FREE}}}")

        assert mapping.tier_of(["everyone"]) == mapping.get("premium")

    def test_other_keys_of_the_config_map_are_left_alone(self) -> None:
        assert parse_mapping({"mapping.yaml": CONTRACT, "README": "{{{"}) == parse(CONTRACT)

    def test_a_hundred_tiers_of_many_groups_are_read(self) -> None:
        tiers = {
            f"tier-{number}": {
                "groups": [f"group-{number}-{other}" for other in range(500)],
                "rateLimit": {"requestsPerMinute": number + 1},
            }
            for number in range(100)
        }

        mapping = parse(json.dumps({"tiers": tiers}))

        assert mapping.tier_of(["group-3-499", "group-99-0", "group-98-7"]) == mapping.get("tier-99")


class TestListForm:
    def test_the_list_of_the_upstream_project_is_read(self) -> None:
        assert parse_mapping({"tiers": UPSTREAM}).tiers == (
            Tier("free", ("system:authenticated",), 0, "Free Tier", "For everyone"),
            Tier("premium", ("premium-users",), 10),
            Tier("enterprise", ("enterprise-users", "admins"), 20),
        )

    def test_limits_may_be_given_there_too(self) -> None:
        text = "[{name: free, groups: [everyone], rateLimit: {tokensPerMinute: 9}, maxTokens: 3}]"

        assert parse_mapping({"tiers": text}).tiers == (
            Tier("free", ("everyone",), tokens_per_minute=9, max_tokens=3),
        )

    def test_a_tier_needs_a_name(self) -> None:
        problem = only_problem("- {name: free, groups: [everyone]}\n- {groups: [others]}\n", "tiers")

        assert problem == Problem(2, 3, "tiers[1].name", "is missing: expected the name of the tier")

    def test_a_name_given_twice_is_refused(self) -> None:
        problem = only_problem("- {name: a, groups: [b]}\n- {name: a, groups: [c]}\n", "tiers")

        assert problem == Problem(2, 10, "tiers[1].name", "the name is given twice, see tiers[0]")

    @pytest.mark.parametrize(
        ("text", "path", "message"),
        [
            ("[{name: Free, groups: [a]}]", "tiers[0].name", "not a name for a tier"),
            (
                "[{name: 5, groups: [a]}]",
                "tiers[0].name",
                "expected text, found the number 5; put it in quotes",
            ),
            ("[{name: a}]", "tiers[0].groups", "is missing"),
            ("[free]", "tiers[0]", 'expected a mapping with `name`, `groups`, .*, found the text "free"'),
            ("[]", "tiers", "expected 1 to 100 tiers, found 0"),
            ("free", "", 'expected a list of tiers, found the text "free"$'),
            ("tiers: []", "", "found a mapping; a mapping is read from the key `mapping.yaml`"),
            ("# nothing", "", "expected a list of tiers, found nothing"),
        ],
    )
    def test_what_is_wrong_is_said(self, text: str, path: str, message: str) -> None:
        problem = only_problem(text, "tiers")

        assert problem.path == path
        with pytest.raises(ValueError, match=message):
            raise ValueError(problem.message)


class TestKeys:
    @pytest.mark.parametrize("data", [None, {}])
    def test_an_empty_config_map_is_told_which_key_it_needs(self, data: dict[str, str] | None) -> None:
        with pytest.raises(MappingError) as caught:
            parse_mapping(data)

        expected = "the ConfigMap needs the key `mapping.yaml` (or `tiers`), found no key at all"
        assert str(caught.value) == expected
        assert caught.value.problems == (Problem(None, None, "", expected),)

    def test_a_misspelt_key_is_recognised(self) -> None:
        with pytest.raises(
            MappingError, match=r"found `a`, `mapping\.yml`; rename `mapping\.yml` if it is the one"
        ):
            parse_mapping({"mapping.yml": CONTRACT, "a": ""})

    def test_two_forms_at_once_are_refused_whatever_they_say(self) -> None:
        with pytest.raises(MappingError, match=r"`mapping\.yaml` and `tiers` are both there: remove one"):
            parse_mapping({"mapping.yaml": CONTRACT, "tiers": ""})


class TestDocument:
    @pytest.mark.parametrize("text", ["", "\n\n", "# only a comment\n", "---\n", "null", "~"])
    def test_an_empty_text_is_told_what_belongs_there(self, text: str) -> None:
        assert only_problem(text).message == "expected a mapping `tiers:` of tier names, found nothing"

    @pytest.mark.parametrize(
        ("text", "line", "column", "message"),
        [
            ("tiers:\n\tfree: {}\n", 2, 1, "not valid YAML: a tab cannot indent a line, use spaces"),
            ("tiers: {\n", 2, 1, "not valid YAML: while parsing a flow node"),
            ("tiers:\n  free: a: b\n", 2, 10, "not valid YAML: mapping values are not allowed"),
            (
                "a:\n  free: 'x\n\n",
                4,
                1,
                "scanning a quoted scalar that begins in line 2, found unexpected end",
            ),
            ("tiers: {}\nfree\n", 3, 1, "could not find expected ':'"),
            ("tiers:\n  é: \x07\n", 2, 6, "the character U+0007 is not allowed in YAML"),
            ("tiers: \x00", 1, 8, "the character U+0000 is not allowed in YAML"),
            ("tiers: \ud800", 1, 8, "the character U+D800 is not allowed in YAML"),
            ("tiers: {}\n---\ntiers: {}\n", 2, 1, "expected one document, but a second one begins here"),
            ("a: &a [*a]\n", 1, 8, "aliases"),
            ("tiers: *free\n", 1, 8, "aliases"),
            ("tiers: !!python/object/apply:os.system [ls]\n", 1, 8, "tags"),
            ("tiers: !!map {}\n", 1, 8, "tags"),
            ("tiers: {}\n!x a: b\n", 2, 1, "tags"),
            ("tiers:\n  <<: {}\n", 2, 3, "a key must be text, found the text <<; put it in quotes"),
            ("tiers:\n  on: {}\n", 2, 3, "a key must be text, found the boolean on; put it in quotes"),
            ("tiers:\n  7: {}\n", 2, 3, "a key must be text, found the number 7; put it in quotes"),
            ("tiers:\n  ? [a]\n  : b\n", 2, 5, "a key must be text, found a list"),
            ("tiers:\n  ? *a\n  : b\n", 2, 5, "aliases"),
        ],
    )
    def test_what_is_not_read_is_pointed_at(self, text: str, line: int, column: int, message: str) -> None:
        problems = fail(text).problems

        assert any(
            message in problem.message and (problem.line, problem.column) == (line, column)
            for problem in problems
        ), problems

    def test_a_key_given_twice_is_refused(self) -> None:
        text = f"tiers:\n  free: {FREE}\n  premium: {FREE}\n  free: {FREE}\n"

        assert only_problem(text) == Problem(4, 3, "tiers.free", "is given twice; the first time in line 2")

    def test_nothing_else_may_stand_beside_the_tiers(self) -> None:
        problem = only_problem(f"tiers:\n  free: {FREE}\nversion: 1\n")

        assert problem == Problem(3, 1, "version", "unknown field; expected only `tiers`")

    def test_tiers_without_the_key_above_them_are_told_so(self) -> None:
        problems = fail(f"free: {FREE}\npremium: {FREE}\n").problems

        assert Problem(1, 1, "tiers", "is missing: expected a mapping of tier names") in problems

    def test_a_misspelt_key_is_one_problem(self) -> None:
        assert only_problem("Tier: {}").message == "unknown field; did you mean `tiers`?"

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("[a]", "found a list; a list is read from the key `tiers`"),
            ("tiers: [a]", "found a list; a list is read from the key `tiers`"),
            ("free", 'expected a mapping with `tiers`, found the text "free"'),
            ("tiers: 2026-01-01", "expected a mapping of tier names, found the date 2026-01-01"),
            ("tiers:", "expected a mapping of tier names, found nothing"),
            ("tiers: {}", "expected 1 to 100 tiers, found 0"),
            (
                json.dumps({"tiers": dict.fromkeys(map(str, range(101)))}),
                "expected 1 to 100 tiers, found 101",
            ),
        ],
    )
    def test_another_shape_is_refused(self, text: str, message: str) -> None:
        assert message in only_problem(text).message


class TestTier:
    @pytest.mark.parametrize("name", ["Free", "-free", "free-", "fr ee", "a.b", "a_b", "é", '""', "a" * 64])
    def test_a_name_that_cannot_be_a_label_is_refused(self, name: str) -> None:
        problem = only_problem(f"tiers:\n  {name}: {FREE}\n")

        assert (problem.line, problem.column) == (2, 3)
        assert "not a name for a tier: expected lower-case letters" in problem.message

    @pytest.mark.parametrize("name", ["a", "a1", '"7"', "a--b", "a" * 63])
    def test_a_name_that_can_be_a_label_is_taken(self, name: str) -> None:
        assert parse(f"tiers: {{{name}: {FREE}}}").get(name.strip('"')) is not None

    def test_a_name_is_never_more_than_one_short_line_of_a_message(self) -> None:
        name = "first\nERROR forged" + "x" * 500

        message = str(fail(f"tiers: {{{json.dumps(name)}: {FREE}}}"))

        assert message.count("\n") == 0
        assert len(message) < 250

    @pytest.mark.parametrize(
        ("fields", "message"),
        [
            ("ratelimits: {}", "unknown field; did you mean `rateLimit`?"),
            ("display_name: Free", "unknown field; did you mean `displayName`?"),
            ("max-tokens: 1", "unknown field; did you mean `maxTokens`?"),
            ("tokensPerMinute: 1", "unknown field; did you mean `rateLimit.tokensPerMinute`?"),
            ("price: 1", "unknown field; expected only `groups`, `rateLimit`, `level`, "),
            ("name: free", "unknown field; expected only `groups`, `rateLimit`, `level`, "),
        ],
    )
    def test_an_unknown_field_is_told_the_nearest_known_one(self, fields: str, message: str) -> None:
        problem = fail_in_tier(fields)

        assert problem.message.startswith(message)
        assert problem.path == f"tiers.free.{fields.partition(':')[0]}"
        assert (problem.line, problem.column) == (5, 5)

    def test_a_misspelt_required_field_is_one_problem(self) -> None:
        problem = only_problem("tiers: {free: {group: [a], rateLimit: {requestsPerMinute: 10}}}")

        assert problem.message == "unknown field; did you mean `groups`?"

    @pytest.mark.parametrize(
        ("tier", "path"),
        [
            ("{groups: [everyone]}", "tiers.free.rateLimit.requestsPerMinute"),
            ("{groups: [everyone], rateLimit: {}}", "tiers.free.rateLimit.requestsPerMinute"),
            (
                "{groups: [everyone], rateLimit: {tokensPerMinute: 9}}",
                "tiers.free.rateLimit.requestsPerMinute",
            ),
            ("{rateLimit: {requestsPerMinute: 10}}", "tiers.free.groups"),
        ],
    )
    def test_a_missing_field_is_named(self, tier: str, path: str) -> None:
        problem = only_problem(f"tiers:\n  free: {tier}\n")

        assert problem.path == path
        assert problem.message.startswith("is missing: expected ")

    def test_a_tier_without_anything_is_one_problem(self) -> None:
        problem = only_problem("tiers:\n  free:\n")

        assert problem.path == "tiers.free"
        assert problem.message.endswith(", found nothing")

    @pytest.mark.parametrize(
        "value",
        [
            "0",
            "-1",
            "1.0",
            "1e3",
            "true",
            '"10"',
            "ten",
            "",
            "010",
            "0x10",
            "1_000",
            "1:30",
            "[10]",
            "{}",
            "+5",
            ".inf",
            "1000000001",
            "1" + "0" * 30,
            pytest.param("1" * 5000, id="5000 digits"),
        ],
    )
    def test_requests_per_minute_are_a_plain_positive_number(self, value: str) -> None:
        problem = fail_in_rate(value)

        assert problem.path == "tiers.free.rateLimit.requestsPerMinute"
        assert problem.message.startswith("expected a whole number from 1 to 1000000000, found ")
        assert len(problem.message) < 120

    @pytest.mark.parametrize(
        ("fields", "message"),
        [
            ("level: -1", "expected a whole number from 0 to 1000000, found the number -1"),
            ("level: 1000001", "expected a whole number from 0 to 1000000, found the number 1000001"),
            ("level: high", 'expected a whole number from 0 to 1000000, found the text "high"'),
            ("level:", "expected a whole number from 0 to 1000000, found nothing"),
            ("maxTokens: 0", "expected a whole number from 1 to 10000, found the number 0"),
            ("maxTokens: 10001", "expected a whole number from 1 to 10000, found the number 10001"),
            ('displayName: ""', "expected 1 to 100 characters, found 0"),
            (f"displayName: {'x' * 101}", "expected 1 to 100 characters, found 101"),
            ("displayName: 5", "expected text, found the number 5; put it in quotes if it is meant"),
            ("displayName: =", "expected text, found the text =; put it in quotes if it is meant"),
            ("displayName:", "expected text, found nothing"),
            ('displayName: "a\\nb"', "the control character U+000A is not allowed"),
            ('displayName: "a\\u202eb"', "the control character U+202E is not allowed"),
            (f"description: {'x' * 1001}", "expected 0 to 1000 characters, found 1001"),
            ('description: "a\\x1b[31m"', "the control character U+001B is not allowed"),
            ("description: {a: b}", "expected text, found a mapping"),
        ],
    )
    def test_a_value_out_of_bounds_is_refused(self, fields: str, message: str) -> None:
        problem = fail_in_tier(fields)

        assert problem.message == message
        assert problem.path == f"tiers.free.{fields.partition(':')[0]}"
        assert problem.line == 5

    def test_an_empty_description_is_taken(self) -> None:
        assert parse(f"tiers: {{free: {FREE[:-1]}, description: ''}}}}").tiers[0].description == ""

    def test_a_rate_limit_must_be_a_mapping(self) -> None:
        problem = only_problem("tiers: {free: {groups: [a], rateLimit: 5}}")

        assert (
            problem.message
            == "expected a mapping with `requestsPerMinute`, `tokensPerMinute`, found the number 5"
        )


class TestGroups:
    @pytest.mark.parametrize(
        ("groups", "column", "message"),
        [
            ("[]", 13, "expected 1 to 500 group names, found 0"),
            (
                json.dumps([f"group-{number}" for number in range(501)]),
                13,
                "expected 1 to 500 group names, found 501",
            ),
            ("everyone", 13, 'expected a list of group names, found the text "everyone"'),
            ("{everyone: true}", 13, "expected a list of group names, found a mapping"),
            ("", 12, "expected a list of group names, found nothing"),
            ("[a, '']", 17, "expected 1 to 256 characters, found 0"),
            (f"[a, {'b' * 257}]", 17, "expected 1 to 256 characters, found 257"),
            ("[a, 1]", 17, "expected text, found the number 1; put it in quotes if it is meant"),
            ("[a, no]", 17, "expected text, found the boolean no; put it in quotes if it is meant"),
            ("[a, ~]", 17, "expected text, found nothing"),
            ("[a, [b]]", 17, "expected text, found a list"),
            ("[a, b, a]", 20, 'the group "a" is given twice, see tiers.free.groups[0]'),
            ("[a, ' b']", 17, 'the group " b" begins or ends with a space'),
            ('[a, "b\\0"]', 17, "the control character U+0000 is not allowed"),
            ("[a, *b]", 17, "aliases (`*…`) are not read: repeat the value"),
            ("[a, !!str b]", 17, "tags (`!…`) are not read: leave the tag out, or quote the text"),
        ],
    )
    def test_what_is_wrong_is_pointed_at(self, groups: str, column: int, message: str) -> None:
        problem = fail_in_groups(groups)

        assert problem.message == message
        assert (problem.line, problem.column) == (4, column)


class TestError:
    def test_one_problem_is_one_line(self) -> None:
        assert str(fail(CONTRACT.replace("100}", "true}"))) == (
            "mapping.yaml: line 3, column 81: tiers.premium.rateLimit.requestsPerMinute: "
            "expected a whole number from 1 to 1000000000, found the boolean true"
        )

    def test_all_problems_are_told_at_once_in_the_order_of_the_text(self) -> None:
        error = fail("tiers:\n  free: {groups: [a], rateLimit: {requestsPerMinute: 0}}\n  Gold: 5\n  gold:\n")

        first, *others = str(error).splitlines()
        assert first.endswith("found the number 0 (and 3 more)")
        assert [problem.line for problem in error.problems] == [2, 3, 3, 4]
        assert len(others) == 3
        assert all(line.startswith("mapping.yaml: line ") for line in others)
        assert not error.cut

    def test_reading_stops_after_many_problems(self) -> None:
        error = fail("tiers:\n" + "".join(f"  T{number}: 5\n" for number in range(90)))

        assert len(error.problems) == MAX_PROBLEMS
        assert error.cut
        assert str(error).splitlines()[-1] == "mapping.yaml: reading stopped here; there may be more"

    def test_the_key_is_named(self) -> None:
        assert fail("[]", "tiers").key == "tiers"


class TestHostileText:
    @pytest.mark.parametrize(
        "text",
        [
            pytest.param("[" * MAX_BYTES, id="nested lists"),
            pytest.param("{" * MAX_BYTES, id="nested mappings"),
            pytest.param("- " * (MAX_BYTES // 2), id="nested block lists"),
            pytest.param("? " * (MAX_BYTES // 2), id="nested keys"),
            pytest.param("- a\n" * (MAX_BYTES // 4), id="many items"),
            pytest.param("".join(f"{number}: a\n" for number in range(90_000)), id="many keys"),
            pytest.param("a: b\n" * (MAX_BYTES // 5), id="one key many times"),
            pytest.param('tiers: {"' + "x" * (MAX_BYTES - 20) + '": 1}', id="a long key"),
            pytest.param("tiers: " + "9" * (MAX_BYTES - 10), id="a long number"),
            pytest.param("tiers: " + "1:1" * (MAX_BYTES // 4), id="a long sexagesimal"),
            pytest.param("\n" * MAX_BYTES, id="empty lines"),
            pytest.param("---\n" * (MAX_BYTES // 4), id="many documents"),
            pytest.param("'" * MAX_BYTES, id="quotes"),
            pytest.param("x" * (MAX_BYTES + 1), id="too many bytes"),
            pytest.param("é" * (MAX_BYTES // 2 + 1), id="too many bytes in fewer characters"),
            pytest.param(
                "a: &a [x, x]\n" + "".join(f"b{i}: &b{i} [*a, *a]\n" for i in range(50)),
                id="a billion laughs",
            ),
        ],
    )
    def test_it_costs_little_time(self, text: str) -> None:
        start = perf_counter()

        with pytest.raises(MappingError) as caught:
            parse_mapping({"mapping.yaml": text})

        assert perf_counter() - start < 5
        assert len(str(caught.value)) < 10_000
