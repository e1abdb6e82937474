from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.cli.logs.redaction import REDACTED, Redactor, redacted_object

PLANTED = "hunter2-is-the-planted-secret"


def lines(*texts: str) -> list[str]:
    redactor = Redactor()
    return [redactor.line(text) for text in texts]


@pytest.mark.parametrize(
    "text",
    [
        f'password: "{PLANTED} with spaces"',
        f'{{"dbPassword":"{PLANTED}","next":1}}',
        f'{{\\"password\\":\\"{PLANTED}\\"}}',
        f"MAAS_DB_PASSWORD={PLANTED};{PLANTED}",
        f"aws_secret_access_key = {PLANTED}",
        f"client-secret={PLANTED}",
        f"--api-key {PLANTED} --port 80",
        f"--hf-token={PLANTED}",
        f"access_token={PLANTED}&scope=all",
        f'"token": "{PLANTED}"',
        f"Authorization: Basic {PLANTED}=",
        f"'authorization', 'Basic {PLANTED}='",
        f"authorization: {PLANTED}",
        f"Bearer {PLANTED}",
        f"cookie: session={PLANTED}; other={PLANTED}",
        f"set-cookie: session={PLANTED}",
        f"amqp://maas:{PLANTED}@queue/",
        f"hf_{PLANTED.replace('-', '')}",
        f"sk-{PLANTED}",
        f"sha256~{PLANTED}",
        f"eyJ{PLANTED}.eyJ{PLANTED}.{PLANTED}",
        f"key: -----BEGIN RSA PRIVATE KEY-----\\n{PLANTED}\\n-----END RSA PRIVATE KEY----- end",
    ],
)
def test_a_secret_is_taken_out(text: str) -> None:
    (redacted,) = lines(text)
    assert PLANTED not in redacted
    assert PLANTED.replace("-", "") not in redacted
    assert REDACTED in redacted


@pytest.mark.parametrize(
    "text",
    [
        '{"action": "token.issued", "tokenId": "alice-sa-1", "tokenSha256": "8458b19a7e862c4c59"}',
        'usage: {"prompt_tokens": 12, "total_tokens": 15}',
        "maas_tokens_issued_total 12",
        'Secret "maas-gateway-tls" not found',
        "https://kubernetes.default.svc:443/api/v1/namespaces/maas/pods?watch=true",
        "authorization denied by policy: RBAC: access denied",
        "------------------------------",
        "-----BEGIN CERTIFICATE-----",
    ],
)
def test_what_helps_stays(text: str) -> None:
    assert lines(text) == [text]


def test_a_private_key_over_several_lines_is_taken_out_and_what_follows_stays() -> None:
    assert lines(
        "2026-01-01T00:00:00Z here it is: -----BEGIN PRIVATE KEY-----",
        "2026-01-01T00:00:00Z MIIEvQIBADANBgkqhkiG9w0",
        "2026-01-01T00:00:00Z -----END PRIVATE KEY----- and on",
        "2026-01-01T00:00:01Z next",
    ) == [
        f"2026-01-01T00:00:00Z here it is: {REDACTED}",
        REDACTED,
        f"{REDACTED} and on",
        "2026-01-01T00:00:01Z next",
    ]


def test_a_private_key_that_is_cut_off_does_not_swallow_the_rest() -> None:
    assert lines("-----BEGIN PRIVATE KEY-----", "MIIEvQIBADANBgkqhkiG9w0", "started again, all is well") == [
        REDACTED,
        REDACTED,
        "started again, all is well",
    ]


def test_objects_lose_literal_secrets_and_keep_references_to_them() -> None:
    reference = {"secretKeyRef": {"name": "db", "key": "password"}}
    redacted = redacted_object(
        {
            "metadata": {
                "managedFields": [{}],
                "annotations": {
                    "kubectl.kubernetes.io/last-applied-configuration": PLANTED,
                    "kept": "yes",
                },
            },
            "spec": {
                "env": [
                    {"name": "DB_PASSWORD", "value": PLANTED},
                    {"name": "DB_USER", "valueFrom": reference},
                    {"name": "MAAS_TOKENS_AUDIENCE", "value": "maas-default-gateway-sa"},
                ],
                "args": ["--db-password", PLANTED, "--port", "80", f"--token={PLANTED}"],
                "password": PLANTED,
                "secretName": "maas-gateway-tls",
                "replicas": 2,
            },
        }
    )

    assert PLANTED not in str(redacted)
    assert redacted["metadata"] == {"annotations": {"kept": "yes"}}
    assert redacted["spec"]["env"][1:] == [
        {"name": "DB_USER", "valueFrom": reference},
        {"name": "MAAS_TOKENS_AUDIENCE", "value": "maas-default-gateway-sa"},
    ]
    assert redacted["spec"]["args"][2:4] == ["--port", "80"]
    assert (redacted["spec"]["secretName"], redacted["spec"]["replicas"]) == ("maas-gateway-tls", 2)


@given(before=st.text(max_size=60), after=st.text(max_size=60))
def test_a_token_is_taken_out_wherever_it_stands(before: str, after: str) -> None:
    token = "sha256~TheTokenOfTheTest"
    assert token not in Redactor().line(f"{before}{token} {after}")


@pytest.mark.parametrize(
    "part",
    ["a", "password", "://", "--", "--a ", "eyJ", "-----BEGIN PRIVATE KEY-----", "authorization ", "cookie:"],
)
def test_a_hostile_line_takes_time_by_its_length(part: str) -> None:
    text = part * (512 * 1024 // len(part))
    begun = time.process_time()
    Redactor().line(text)
    # Some tenths of a second; a pattern that looks again from each character takes minutes.
    assert time.process_time() - begun < 5
