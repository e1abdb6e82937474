from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from app.embedded.simulator import SimulatorSettings

if TYPE_CHECKING:
    import httpx

    from tests.unit.embedded.simulator.conftest import SteppedTime

HELLO = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hello, world!"}]
ANSWER = "Hello! This is granite-7b, simulated. You said: Hello, world!"


async def chat(client: httpx.AsyncClient, **fields: Any) -> dict[str, Any]:
    body = {"model": "granite-7b", "messages": HELLO, **fields}
    response = await client.post("/v1/chat/completions", json=body)
    assert response.status_code == 200
    answer: dict[str, Any] = response.json()
    return answer


async def events(client: httpx.AsyncClient, path: str, **body: Any) -> list[Any]:
    response = await client.post(path, json={"model": "granite-7b", "stream": True, **body})
    assert response.headers["content-type"].startswith("text/event-stream")
    lines = [line.removeprefix("data: ") for line in response.text.split("\n\n") if line]
    assert lines.pop() == "[DONE]"
    return [json.loads(line) for line in lines]


async def test_a_chat_is_answered_with_what_the_person_said(client: httpx.AsyncClient) -> None:
    answer = await chat(client)

    assert answer["object"] == "chat.completion"
    assert answer["model"] == "granite-7b"
    assert answer["created"] == 1_700_000_000
    assert answer["choices"] == [
        {
            "index": 0,
            "message": {"role": "assistant", "content": ANSWER},
            "logprobs": None,
            "finish_reason": "stop",
        }
    ]


async def test_words_and_punctuation_marks_are_tokens(client: httpx.AsyncClient) -> None:
    # "Be brief ." and "Hello , world !" are read.
    assert (await chat(client))["usage"] == {
        "prompt_tokens": 7,
        "completion_tokens": 17,
        "total_tokens": 24,
    }


async def test_the_same_request_has_the_same_answer_under_another_id(client: httpx.AsyncClient) -> None:
    first, second = await chat(client), await chat(client)

    assert first.pop("id") != second.pop("id")
    assert first["choices"] == second["choices"]


@pytest.mark.parametrize("field", ["max_tokens", "max_completion_tokens"])
async def test_an_answer_is_cut_at_the_limit(client: httpx.AsyncClient, field: str) -> None:
    answer = await chat(client, **{field: 3})

    assert answer["choices"][0]["message"]["content"] == "Hello! This"
    assert answer["choices"][0]["finish_reason"] == "length"
    assert answer["usage"]["completion_tokens"] == 3


async def test_an_answer_that_just_fits_is_not_cut(client: httpx.AsyncClient) -> None:
    assert (await chat(client, max_tokens=17))["choices"][0]["finish_reason"] == "stop"


@pytest.mark.parametrize("stop", [" You", ["nothing like it", "", " You said"]])
async def test_an_answer_ends_before_a_stop_sequence(client: httpx.AsyncClient, stop: object) -> None:
    choice = (await chat(client, stop=stop))["choices"][0]

    assert choice["message"]["content"] == "Hello! This is granite-7b, simulated."
    assert choice["finish_reason"] == "stop"


async def test_several_answers_can_be_asked_for(client: httpx.AsyncClient) -> None:
    answer = await chat(client, n=2)

    assert [choice["index"] for choice in answer["choices"]] == [0, 1]
    assert answer["usage"]["completion_tokens"] == 34


@pytest.mark.parametrize(
    ("messages", "said"),
    [
        ([{"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "image_url"}]}], "said: a"),
        ([{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}], "said: a"),
        ([{"role": "system", "content": "c"}], "said: c"),
        ([{"role": "user", "content": None}], "like to know?"),
        ([{"role": "user", "content": "x " * 500}], "x …"),
    ],
)
async def test_any_conversation_has_an_answer(
    client: httpx.AsyncClient, messages: list[dict[str, Any]], said: str
) -> None:
    answer = await chat(client, messages=messages)

    assert answer["choices"][0]["message"]["content"].endswith(said)


async def test_a_streamed_chat_begins_with_the_role_and_ends_with_the_reason(
    client: httpx.AsyncClient,
) -> None:
    chunks = await events(client, "/v1/chat/completions", messages=HELLO)

    assert {chunk["object"] for chunk in chunks} == {"chat.completion.chunk"}
    assert len({chunk["id"] for chunk in chunks}) == 1
    first, *middle, last = [chunk["choices"][0] for chunk in chunks]
    assert first["delta"] == {"role": "assistant", "content": ""}
    assert "".join(choice["delta"]["content"] for choice in middle) == ANSWER
    assert (last["delta"], last["finish_reason"]) == ({}, "stop")
    assert not any("usage" in chunk for chunk in chunks)


async def test_the_usage_of_a_stream_comes_last_when_asked_for(client: httpx.AsyncClient) -> None:
    options = {"include_usage": True}
    chunks = await events(
        client, "/v1/chat/completions", messages=HELLO, stream_options=options, max_tokens=5
    )

    assert chunks[-1]["choices"] == []
    assert chunks[-1]["usage"] == {"prompt_tokens": 7, "completion_tokens": 5, "total_tokens": 12}
    assert chunks[-2]["choices"][0]["finish_reason"] == "length"


async def test_a_prompt_is_completed(client: httpx.AsyncClient) -> None:
    response = await client.post(
        "/v1/completions", json={"model": "opt", "prompt": "Once upon", "max_tokens": 14}
    )

    answer = response.json()
    assert answer["object"] == "text_completion"
    assert answer["choices"][0]["text"] == "Hello! This is opt, simulated. You said: Once upon"
    assert answer["usage"] == {"prompt_tokens": 2, "completion_tokens": 13, "total_tokens": 15}


@pytest.mark.parametrize(
    ("prompt", "answers", "used"),
    [(["a", "b c"], 2, 3), ([1, 2, 3], 1, 3), ([[1, 2], [3]], 2, 3), ([], 0, 0)],
)
async def test_prompts_come_in_every_form(
    client: httpx.AsyncClient, prompt: object, answers: int, used: int
) -> None:
    answer = (await client.post("/v1/completions", json={"model": "opt", "prompt": prompt})).json()

    assert len(answer["choices"]) == answers
    assert answer["usage"]["prompt_tokens"] == used


async def test_a_completion_is_streamed(client: httpx.AsyncClient) -> None:
    chunks = await events(client, "/v1/completions", prompt="Once")

    assert "".join(chunk["choices"][0]["text"] for chunk in chunks).endswith("You said: Once")
    assert chunks[-1]["choices"][0]["finish_reason"] == "stop"


@pytest.mark.parametrize("stream", [False, True])
async def test_the_first_token_and_the_others_take_their_time(
    client: httpx.AsyncClient, time: SteppedTime, *, stream: bool
) -> None:
    body = {"model": "opt", "messages": HELLO, "max_tokens": 3, "stream": stream}
    await client.post("/v1/chat/completions", json=body)

    assert time.slept == [0.5, 0.02, 0.02]


async def test_a_stream_says_the_usage_so_far_when_asked_for(client: httpx.AsyncClient) -> None:
    options = {"include_usage": True, "continuous_usage_stats": True}
    chunks = await events(
        client, "/v1/chat/completions", messages=HELLO, stream_options=options, max_tokens=2
    )

    assert [chunk["usage"]["completion_tokens"] for chunk in chunks] == [0, 1, 2, 2, 2]
    assert chunks[-1]["usage"] == {"prompt_tokens": 7, "completion_tokens": 2, "total_tokens": 9}


@pytest.mark.parametrize("settings", [SimulatorSettings(force_include_usage=True)])
@pytest.mark.parametrize("options", [None, {"include_usage": False}, {"include_usage": True}])
async def test_a_server_that_is_told_to_says_the_usage_to_whoever_streams(
    client: httpx.AsyncClient, options: dict[str, bool] | None
) -> None:
    questions: dict[str, Any] = {"chat/completions": {"messages": HELLO}, "completions": {"prompt": "Once"}}
    for path, question in questions.items():
        chunks = await events(client, f"/v1/{path}", **question, stream_options=options, max_tokens=2)

        assert [chunk["usage"]["completion_tokens"] for chunk in chunks][-3:] == [2, 2, 2]
        assert chunks[-1]["choices"] == []
