"""The model client against the scripted server over real HTTP, with every fault that a provider can have."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest
from pydantic import SecretStr

from evolvent.events.errors import ConfigInvalid
from evolvent.events.language.conversation import ChatMessage, ToolCall
from evolvent.events.language.tools import ToolSpec
from evolvent.orchestrator.llm.client import ModelRequest
from evolvent.orchestrator.llm.errors import (
    ModelAccessDenied,
    ModelBadResponse,
    ModelError,
    ModelQuotaExhausted,
    ModelRateLimited,
    ModelRefused,
    ModelTimeout,
    ModelUnavailable,
)
from evolvent.orchestrator.llm.openai_client import OpenAIModel
from evolvent.orchestrator.llm.wire import ReplyLimits
from evolvent.platform.scripted_model.faults import Fault, FaultKind
from evolvent.platform.scripted_model.script import Latency, Script
from evolvent.platform.scripted_model.server import ScriptedModelServer

KEY = "sk-very-secret-0123456789"
DEADLINE = 0.3
WEATHER = ToolSpec(name="weather", parameters={"type": "object", "properties": {"city": {"type": "string"}}})
SCRIPT = Script(
    {
        "rules": [
            {
                "name": "weather",
                "when": {"user": {"regex": r"weather in (?P<city>\w+)"}, "tools": ["weather"]},
                "turns": [
                    {"tool_calls": [{"name": "weather", "arguments": {"city": "{{ match.city }}"}}]},
                    {"text": "It is {{ tool.0.result.degrees }} degrees in {{ match.city }}."},
                ],
            }
        ],
        "default": {"text": "You said: {{ user }}"},
    }
)


@pytest.fixture
async def server() -> AsyncIterator[ScriptedModelServer]:
    server = ScriptedModelServer(SCRIPT)
    await server.start()
    yield server
    await server.stop()


@pytest.fixture
async def model(server: ScriptedModelServer) -> AsyncIterator[OpenAIModel]:
    limits = ReplyLimits(body_bytes=256 * 1024, stream_bytes=512 * 1024, text_chars=128 * 1024)
    model = OpenAIModel(server.base_url, SecretStr(KEY), limits=limits)
    await model.prepare()
    yield model
    await model.close()


def ask(text: str = "hello", **changes: Any) -> ModelRequest:
    request = ModelRequest("any", (ChatMessage(role="user", content=text),), 500, deadline_seconds=DEADLINE)
    return replace(request, **changes)


async def outcome(model: OpenAIModel, request: ModelRequest, *, streamed: bool) -> ModelError:
    """Return the error of a call, having checked that it came in time."""
    began = time.monotonic()
    with pytest.raises(ModelError) as caught:
        await model.complete(request, on_text=(lambda _: None) if streamed else None)
    assert time.monotonic() - began < request.deadline_seconds + 1
    assert KEY not in str(caught.value)
    return caught.value


@pytest.mark.parametrize("streamed", [False, True])
async def test_answers_with_text_usage_and_the_word_scripted(
    server: ScriptedModelServer, model: OpenAIModel, streamed: bool
) -> None:
    pieces: list[str] = []
    reply = await model.complete(ask("hello there, how do you do"), on_text=pieces.append if streamed else None)
    assert reply.text == "You said: hello there, how do you do"
    assert reply.scripted
    assert reply.finish_reason == "stop"
    assert (reply.usage.prompt_tokens, reply.usage.completion_tokens, reply.usage.estimated) == (7, 9, False)
    assert server.ledger.totals()["billed"]["any"] == {"calls": 1, "prompt_tokens": 7, "completion_tokens": 9}
    assert not streamed or ("".join(pieces) == reply.text and len(pieces) > 1)


@pytest.mark.parametrize("streamed", [False, True])
async def test_calls_a_tool_and_answers_from_its_real_result(model: OpenAIModel, streamed: bool) -> None:
    on_text = (lambda _: None) if streamed else None
    request = ask("What is the weather in Rome?", tools=(WEATHER,))
    first = await model.complete(request, on_text=on_text)
    assert [(call.name, call.arguments) for call in first.tool_calls] == [("weather", {"city": "Rome"})]
    assert first.finish_reason == "tool_calls"
    asked = ChatMessage(role="assistant", content=first.text, tool_calls=first.tool_calls)
    told = ChatMessage(role="tool", content='{"degrees": 31}', tool_call_id=first.tool_calls[0].call_id)
    last = await model.complete(replace(request, messages=(*request.messages, asked, told)), on_text=on_text)
    assert last.text == "It is 31 degrees in Rome."


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        (Fault(kind=FaultKind.RATE_LIMIT), ModelRateLimited),
        (Fault(kind=FaultKind.QUOTA), ModelQuotaExhausted),
        (Fault(kind=FaultKind.SERVER_ERROR), ModelUnavailable),
        (Fault(kind=FaultKind.SERVER_ERROR, status=503), ModelUnavailable),
        (Fault(kind=FaultKind.SERVER_ERROR, status=400), ModelRefused),
        (Fault(kind=FaultKind.SERVER_ERROR, status=401), ModelAccessDenied),
        (Fault(kind=FaultKind.SERVER_ERROR, status=302), ModelRefused),
        (Fault(kind=FaultKind.HANG), ModelTimeout),
        (Fault(kind=FaultKind.DRIP), ModelTimeout),
        (Fault(kind=FaultKind.ENDLESS), ModelBadResponse),
        (Fault(kind=FaultKind.HTML), ModelBadResponse),
        (Fault(kind=FaultKind.NO_CHOICES), ModelBadResponse),
        (Fault(kind=FaultKind.DISCONNECT), ModelUnavailable),
        (Fault(kind=FaultKind.HUGE), ModelBadResponse),
    ],
    ids=lambda value: f"{value.kind}-{value.status}" if isinstance(value, Fault) else None,
)
async def test_every_fault_ends_before_the_deadline_in_its_own_error(
    server: ScriptedModelServer, model: OpenAIModel, fault: Fault, expected: type[ModelError], streamed: bool
) -> None:
    server.faults.add(fault.model_copy(update={"times": 1}))
    error = await outcome(model, ask(), streamed=streamed)
    assert type(error) is expected
    assert error.sent
    assert server.ledger.requests == 1, "the client retried by itself"
    recovered = await model.complete(ask())
    assert recovered.text == "You said: hello"


async def test_a_stream_without_its_end_is_an_error_unless_it_is_tolerated(server: ScriptedModelServer) -> None:
    server.faults.add(Fault(kind=FaultKind.CUT))
    strict = OpenAIModel(server.base_url, SecretStr(KEY))
    assert isinstance(await outcome(strict, ask("some long text" * 10), streamed=True), ModelBadResponse)
    tolerant = OpenAIModel(server.base_url, SecretStr(KEY), tolerate_missing_finish_reason=True)
    reply = await tolerant.complete(ask("some long text" * 10), on_text=lambda _: None)
    assert reply.text and reply.text.startswith("You said")
    assert reply.usage.estimated
    await strict.close()
    await tolerant.close()


@pytest.mark.parametrize("streamed", [False, True])
async def test_broken_arguments_are_kept_as_text_and_do_not_pass_for_arguments(
    server: ScriptedModelServer, model: OpenAIModel, streamed: bool
) -> None:
    server.faults.add(Fault(kind=FaultKind.BAD_ARGUMENTS, times=1))
    request = ask("weather in Rome", tools=(WEATHER,))
    reply = await model.complete(request, on_text=(lambda _: None) if streamed else None)
    assert reply.tool_calls[0].arguments is None
    assert reply.tool_calls[0].raw_arguments == '{"unfinished": '


@pytest.mark.parametrize("streamed", [False, True])
async def test_missing_usage_is_estimated_and_says_so(
    server: ScriptedModelServer, model: OpenAIModel, streamed: bool
) -> None:
    server.faults.add(Fault(kind=FaultKind.NO_USAGE))
    reply = await model.complete(ask("x" * 400), on_text=(lambda _: None) if streamed else None)
    assert reply.usage.estimated
    assert 100 <= reply.usage.prompt_tokens < 150
    assert 100 <= reply.usage.completion_tokens < 110


async def test_the_wait_that_the_provider_asks_for_is_passed_on(
    server: ScriptedModelServer, model: OpenAIModel
) -> None:
    server.faults.add(Fault(kind=FaultKind.RATE_LIMIT, retry_after=7))
    assert (await outcome(model, ask(), streamed=False)).retry_after_seconds == 7


async def test_a_refused_connection_proves_that_nothing_was_sent() -> None:
    listener = await asyncio.start_server(lambda _r, _w: None, "127.0.0.1", 0)
    port = listener.sockets[0].getsockname()[1]
    listener.close()
    await listener.wait_closed()
    model = OpenAIModel(f"http://127.0.0.1:{port}/v1", SecretStr(""))
    error = await outcome(model, ask(), streamed=False)
    assert isinstance(error, ModelUnavailable)
    assert not error.sent
    await model.close()


async def test_an_unknown_host_proves_that_nothing_was_sent() -> None:
    model = OpenAIModel("http://no-such-host.invalid/v1", SecretStr(KEY))
    error = await outcome(model, ask(deadline_seconds=5), streamed=False)
    assert isinstance(error, ModelUnavailable)
    assert not error.sent
    await model.close()


@pytest.mark.parametrize(
    "base_url", ["", "nonsense", "ftp://host/v1", "http://u:pass@host/v1", "http://host:x/v1", "http://[/"]
)
def test_an_address_that_cannot_be_used_is_refused_at_once_and_not_quoted(base_url: str) -> None:
    with pytest.raises(ConfigInvalid, match="OPENAI_BASE_URL") as caught:
        OpenAIModel(base_url, SecretStr(KEY))
    assert "pass" not in str(caught.value).replace("password", "")


async def test_a_server_that_hangs_up_on_the_request_may_have_read_it() -> None:
    async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.close()

    listener = await asyncio.start_server(hang_up, "127.0.0.1", 0)
    port = listener.sockets[0].getsockname()[1]
    model = OpenAIModel(f"http://127.0.0.1:{port}/v1", SecretStr(KEY))
    error = await outcome(model, ask(), streamed=False)
    assert isinstance(error, ModelUnavailable)
    assert error.sent
    await model.close()
    listener.close()


async def test_a_deadline_that_has_passed_sends_nothing(server: ScriptedModelServer, model: OpenAIModel) -> None:
    error = await outcome(model, ask(deadline_seconds=0), streamed=False)
    assert isinstance(error, ModelTimeout)
    assert not error.sent
    assert server.ledger.requests == 0


async def test_a_key_quoted_by_the_server_is_not_repeated() -> None:
    body = f'{{"error": {{"message": "Incorrect API key provided: {KEY}"}}}}'.encode()
    async with answering(body, status="401 Unauthorized") as url:
        model = OpenAIModel(url, SecretStr(KEY))
        error = await outcome(model, ask(), streamed=False)
        assert "Incorrect API key provided: ***" in str(error)
        assert error.__cause__ is None
        await model.close()


@pytest.mark.parametrize("key", ["sk-ключ", "sk-a\nb"])
async def test_a_key_that_cannot_be_sent_is_refused_in_plain_words(key: str) -> None:
    model = OpenAIModel("http://127.0.0.1:9/v1", SecretStr(key))
    with pytest.raises(ModelAccessDenied, match="copy it again"):
        await model.complete(ask())


async def test_an_endless_error_page_is_cut_at_the_cap() -> None:
    async with answering(b"x" * 3_000_000, status="500 Oops", content_type="text/plain") as url:
        model = OpenAIModel(url, SecretStr(KEY), limits=ReplyLimits(body_bytes=100_000))
        assert isinstance(await outcome(model, ask(), streamed=False), ModelBadResponse)
        await model.close()


async def test_a_packed_answer_is_refused_since_it_could_unpack_to_anything() -> None:
    async with answering(b"\x1f\x8b", headers="content-encoding: gzip\r\n") as url:
        model = OpenAIModel(url, SecretStr(KEY))
        assert "packs its answers" in str(await outcome(model, ask(), streamed=False))
        await model.close()


async def test_a_server_that_cannot_stream_still_answers_a_streamed_call() -> None:
    body = b'{"choices": [{"message": {"content": "all at once"}, "finish_reason": "stop"}]}'
    async with answering(body) as url:
        model = OpenAIModel(url, SecretStr(KEY))
        pieces: list[str] = []
        reply = await model.complete(ask(), on_text=pieces.append)
        assert (reply.text, pieces, reply.scripted) == ("all at once", ["all at once"], False)
        await model.close()


async def test_text_that_no_database_can_hold_is_replaced(model: OpenAIModel) -> None:
    reply = await model.complete(ask("nul \x00 lone \ud800 pair \U0001f600"))
    assert reply.text == "You said: nul \ufffd lone ? pair \U0001f600"


async def test_a_thousand_calls_at_once_each_get_their_own_answer(
    server: ScriptedModelServer, model: OpenAIModel
) -> None:
    replies = await asyncio.gather(*(model.complete(ask(f"number {n}", deadline_seconds=30)) for n in range(1000)))
    assert [reply.text for reply in replies] == [f"You said: number {n}" for n in range(1000)]
    assert server.ledger.answered == 1000


async def test_a_slow_answer_arrives_and_a_cancelled_call_is_left_at_once(
    server: ScriptedModelServer, model: OpenAIModel
) -> None:
    server.latency = Latency(fixed_ms=50)
    assert (await model.complete(ask())).text == "You said: hello"
    server.faults.add(Fault(kind=FaultKind.HANG))
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await model.complete(ask(deadline_seconds=60))


async def test_a_listener_that_fails_ends_the_call_with_its_own_error(model: OpenAIModel) -> None:
    def fail(_: str) -> None:
        raise TimeoutError("the reader is gone")

    with pytest.raises(TimeoutError, match="the reader is gone"):
        await model.complete(ask(), on_text=fail)


async def test_broken_arguments_of_the_past_are_sent_back_as_valid_json(model: OpenAIModel) -> None:
    call = ToolCall(call_id="c", name="weather", raw_arguments="{oops")
    past = ChatMessage(role="assistant", tool_calls=(call,))
    request = ask("weather in Rome", tools=(WEATHER,))
    request = replace(
        request, messages=(*request.messages, past, ChatMessage(role="tool", content="no", tool_call_id="c"))
    )
    assert b'"arguments":"{\\"invalid_arguments\\":\\"{oops\\"}"' in request.prompt_json
    assert (await model.complete(request)).text == "It is (no tool.0.result.degrees) degrees in Rome."


@contextlib.asynccontextmanager
async def answering(
    body: bytes, *, status: str = "200 OK", content_type: str = "application/json", headers: str = ""
) -> AsyncIterator[str]:
    """Serve one fixed answer to every request."""
    head = f"HTTP/1.1 {status}\r\ncontent-type: {content_type}\r\n{headers}content-length: {len(body)}\r\n\r\n"

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            await reader.readuntil(b"\r\n\r\n")
            writer.write(head.encode() + body)
            await writer.drain()
        writer.close()

    listener = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{listener.sockets[0].getsockname()[1]}/v1"
    finally:
        listener.close()
