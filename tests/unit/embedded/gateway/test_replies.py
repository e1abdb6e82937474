from __future__ import annotations

from app.embedded.gateway.replies import local_replies


def test_every_reply_tells_people_what_to_do() -> None:
    bodies = [mapper["body_format_override"] for mapper in local_replies(1000)["mappers"]]

    messages = [
        body["json_format"]["error"]["message"]
        if body["content_type"] == "application/json"
        else body["json_format"]["detail"]
        for body in bodies
    ]
    assert all(message.endswith(".") for message in messages)
    # Envoy would take it for the beginning of a variable.
    assert not any("%" in message for message in messages)
