"""How tool calls end, and what their records say."""

from __future__ import annotations

import asyncio
import hashlib
import json
import math
import sys
import threading
import types
from collections.abc import Callable
from typing import Any

import pytest

from evolvent.events.clock import SystemClock
from evolvent.events.errors import BusUnavailable, NotFound
from evolvent.events.language.conversation import ToolCall
from evolvent.events.language.tools import Effect
from evolvent.events.messages.runs import ToolOutcome, ToolRecord
from evolvent.orchestrator.tools import ReconcileResult, ToolContext, ToolRegistry, tool
from evolvent.orchestrator.tools.call import call_tool, reconcile_call
from evolvent.orchestrator.tools.refusals import OutcomeUnknown
from evolvent.orchestrator.tools.registry import StoreBlob, ToolSettings

CTX = ToolContext(run_id="r1", task_id="t1", call_id="c1", agent_id="a_1")
ALL_EFFECTS = list(Effect)


def asked(name: str, arguments: dict[str, Any] | None = None) -> ToolCall:
    return ToolCall(call_id="c1", name=name, arguments={} if arguments is None else arguments)


def copied(function: Any) -> Any:
    """Return a function that can be marked anew: a test calls one with several effects."""
    copy = types.FunctionType(
        function.__code__, function.__globals__, function.__name__, function.__defaults__, function.__closure__
    )
    copy.__kwdefaults__, copy.__annotations__ = function.__kwdefaults__, function.__annotations__
    return copy


async def run(
    function: Callable[..., object],
    arguments: dict[str, Any] | None = None,
    *,
    ctx: ToolContext = CTX,
    store_blob: StoreBlob | None = None,
    effect: Effect = Effect.PURE,
    timeout_seconds: float = 5,
    **options: Any,
) -> ToolRecord:
    registry = ToolRegistry(ToolSettings(**options), store_blob=store_blob)
    registry.register(tool(name="it", effect=effect, timeout_seconds=timeout_seconds)(copied(function)))
    record = await call_tool(registry, asked("it", arguments), ctx, offered=frozenset({"it"}), clock=SystemClock())
    ToolRecord.model_validate_json(record.model_dump_json())
    return record


def code_of(record: ToolRecord) -> str:
    return record.error.code if record.error else ""


@pytest.mark.parametrize("effect", ALL_EFFECTS)
async def test_a_call_that_ends_well_is_recorded_whole(effect: Effect) -> None:
    async def add(a: int, b: int = 2, *, ctx: ToolContext) -> dict[str, Any]:
        return {"sum": a + b, "run": ctx.run_id, "key": ctx.idempotency_key}

    record = await run(add, {"a": 1}, effect=effect)
    key = hashlib.sha256(b"r1|t1|c1").hexdigest()[:32]
    assert record.outcome is ToolOutcome.OK
    assert record.result == {"sum": 3, "run": "r1", "key": key}
    assert record.arguments == {"a": 1}
    assert record.idempotency_key == (key if effect is Effect.KEYED else None)
    assert (record.call_id, record.task_id, record.effect, record.error) == ("c1", "t1", effect, None)
    assert len(record.schema_hash) == 32


async def test_the_callers_key_reaches_the_tool_and_the_record() -> None:
    async def pay(*, ctx: ToolContext) -> str | None:
        return ctx.idempotency_key

    ctx = ToolContext(run_id="r1", task_id="t1", call_id="c1", idempotency_key="mine")
    record = await run(pay, ctx=ctx, effect=Effect.KEYED)
    assert record.result == record.idempotency_key == "mine"


async def test_bad_arguments_never_reach_the_tool() -> None:
    called = []

    async def take(a: int) -> None:
        called.append(a)

    for arguments in ({}, {"a": "x"}, {"a": 1, "b": 2}, {"a": math.nan}, {"a": "\ud800"}, {"a": "\0"}):
        record = await run(take, arguments, effect=Effect.IRREVERSIBLE)
        assert (record.outcome, code_of(record)) == (ToolOutcome.ERROR, "tool.bad_arguments"), arguments
    assert called == []


async def test_arguments_that_are_no_object_or_too_large_or_too_deep_are_refused() -> None:
    async def take(a: Any) -> None: ...

    deep: Any = 1
    for _ in range(70):
        deep = [deep]
    for arguments in ({"a": "x" * 300_000}, {"a": deep}):
        assert code_of(await run(take, arguments)) == "tool.bad_arguments"
    registry = ToolRegistry()
    registry.register(tool(name="it", effect="pure")(take))
    call = ToolCall(call_id="c", name="it", arguments=None, raw_arguments="{oops")
    record = await call_tool(registry, call, CTX, offered=frozenset({"it"}), clock=SystemClock())
    assert code_of(record) == "tool.bad_arguments"
    assert "not a JSON object" in record.error.message  # type: ignore[union-attr]


async def test_a_hostile_model_gets_nothing_but_what_it_was_offered() -> None:
    called = []
    registry = ToolRegistry()
    for name, access in (("open", "public"), ("other_goals", "public"), ("kept", "restricted"), ("root", "admin")):

        @tool(name=name, access=access, effect="irreversible")  # type: ignore[arg-type]
        async def one() -> None:
            called.append(1)

        registry.register(one)
    tried = {
        "open": "",
        "other_goals": "tool.not_offered",
        "kept": "tool.not_offered",
        "root": "tool.admin_only",
        "spawn_agent": "tool.unknown",
        "\ud800" * 500: "tool.unknown",
        "": "tool.unknown",
    }
    for name, code in tried.items():
        record = await call_tool(registry, asked(name), CTX, offered=frozenset({"open", "root"}), clock=SystemClock())
        assert code_of(record) == code
        record.model_dump_json()
    assert called == [1]
    assert set(registry.usage()) == {"open", "other_goals", "kept", "root"}


async def test_five_hundred_parallel_calls_stop_at_the_rate_limit() -> None:
    called = []

    @tool(effect="pure")
    async def ping() -> None:
        called.append(1)

    registry = ToolRegistry(ToolSettings(rate_per_minute=100, tool_rates={"ping": 20}))
    registry.register(ping)
    clock = SystemClock()
    records = await asyncio.gather(
        *(call_tool(registry, asked("ping"), CTX, offered=frozenset({"ping"}), clock=clock) for _ in range(500))
    )
    refused = [record for record in records if code_of(record) == "tool.rate_limited"]
    assert len(called) == 500 - len(refused) == 20
    assert 0 < (refused[0].error.retry_after_seconds or 0) <= 3  # type: ignore[union-attr]
    usage = registry.usage()["ping"]
    assert (usage.calls, usage.ok, usage.errors) == (500, 20, 480)


@pytest.mark.parametrize("effect", ALL_EFFECTS)
async def test_a_shadow_call_changes_nothing(effect: Effect) -> None:
    called = []

    async def act() -> None:
        called.append(1)

    ctx = ToolContext(run_id="r", task_id="t", call_id="c1", shadow=True)
    record = await run(act, ctx=ctx, effect=effect)
    may_run = effect in (Effect.PURE, Effect.READ)
    assert (called == [1]) is may_run
    assert code_of(record) == ("" if may_run else "tool.shadow")


async def test_what_a_tool_raises_becomes_a_scrubbed_error() -> None:
    class Broken(Exception):
        def __str__(self) -> str:
            raise RuntimeError

    def fails(error: BaseException) -> Callable[[], Any]:
        async def fail() -> None:
            raise error

        return fail

    secret = "correct horse battery"
    cases: list[tuple[BaseException, str]] = [
        (ValueError(f"no: {secret}, api_key=abc123xyz, https://bob:pw1@h/ \x1b[31m"), "ValueError: no"),
        (SystemExit(3), "SystemExit"),
        (Broken(), "Broken"),
        (ExceptionGroup("g", [KeyError("k")]), "KeyError"),
        (ValueError("x" * 5_000), "ValueError: xxx"),
        (ValueError("\ud800"), "ValueError"),
        (MemoryError(), "MemoryError"),
    ]
    for error, text in cases:
        record = await run(fails(error), effect=Effect.IRREVERSIBLE, secrets=(secret,))
        assert (record.outcome, code_of(record)) == (ToolOutcome.ERROR, "tool.failed")
        message = record.error.message  # type: ignore[union-attr]
        assert text in message
        assert len(message) < 600
        assert not any(part in message for part in (secret, "abc123xyz", "pw1", "\x1b", "Traceback"))
    record = await run(fails(NotFound("There is no x; list them.")))
    assert (code_of(record), record.error.message) == ("not_found", "There is no x; list them.")  # type: ignore[union-attr]


@pytest.mark.parametrize("effect", ALL_EFFECTS)
@pytest.mark.parametrize(
    "error",
    [
        TimeoutError(),
        ConnectionResetError(),
        OutcomeUnknown(),
        BusUnavailable(),
        asyncio.CancelledError(),
        ExceptionGroup("g", [ValueError(), TimeoutError()]),
    ],
)
async def test_a_lost_answer_leaves_a_claimed_effect_unknown(effect: Effect, error: BaseException) -> None:
    async def lose() -> None:
        raise error

    record = await run(lose, effect=effect)
    assert record.outcome is (ToolOutcome.UNKNOWN if effect.needs_claim else ToolOutcome.ERROR)
    assert record.error is not None


async def test_a_refused_connection_proves_that_nothing_happened() -> None:
    async def refuse() -> None:
        raise ConnectionRefusedError

    assert (await run(refuse, effect=Effect.IRREVERSIBLE)).outcome is ToolOutcome.ERROR


@pytest.mark.parametrize(
    ("error", "is_retryable"),
    [
        (ConnectionRefusedError(), True),
        (ExceptionGroup("g", [TimeoutError(), ConnectionResetError()]), True),
        (ExceptionGroup("g", [TimeoutError(), ValueError()]), False),
        (ValueError(), False),
    ],
)
async def test_what_only_the_network_broke_may_be_tried_again(error: BaseException, *, is_retryable: bool) -> None:
    async def fail() -> None:
        raise error

    record = await run(fail, effect=Effect.READ)
    assert record.error is not None and record.error.retryable is is_retryable
    assert code_of(record) == ("tool.unreachable" if is_retryable else "tool.failed")


@pytest.mark.parametrize("effect", ALL_EFFECTS)
@pytest.mark.parametrize("hides_it", [False, True])
async def test_a_timeout_leaves_a_claimed_effect_unknown(effect: Effect, *, hides_it: bool) -> None:
    async def hang() -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            if hides_it:
                raise RuntimeError("hidden") from None
            raise

    record = await run(hang, effect=effect, timeout_seconds=0.02)
    if effect.needs_claim:
        assert (record.outcome, code_of(record)) == (ToolOutcome.UNKNOWN, "tool.outcome_unknown")
    else:
        assert (record.outcome, code_of(record)) == (ToolOutcome.ERROR, "tool.timeout")
        assert record.error is not None and record.error.retryable
    assert record.duration_seconds >= 0.015


@pytest.mark.parametrize("manner", ["honest", "swallows", "converts"])
async def test_cancelling_our_own_task_goes_through_whatever_the_tool_does(manner: str) -> None:
    inside = asyncio.Event()

    async def hang() -> str:
        inside.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            if manner == "converts":
                raise ValueError("no") from None
            if manner == "honest":
                raise
        return "as if nothing had happened"

    task = asyncio.create_task(run(hang, effect=Effect.IRREVERSIBLE))
    await inside.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert task.cancelled()


async def test_a_function_that_is_no_coroutine_runs_in_a_thread_and_may_fail_in_any_way() -> None:
    def where(*, ctx: ToolContext) -> list[Any]:
        return [threading.current_thread() is threading.main_thread(), ctx.run_id]

    def stop() -> None:
        raise StopIteration

    def leave() -> None:
        sys.exit(1)

    assert (await run(where)).result == [False, "r1"]
    assert code_of(await run(stop)) == code_of(await run(leave)) == "tool.failed"


async def test_stuck_threads_are_limited_and_a_call_that_got_none_is_an_error_even_if_irreversible() -> None:
    release = threading.Event()

    @tool(effect="irreversible", timeout_seconds=0.1)
    def stuck() -> None:
        release.wait(30)

    registry = ToolRegistry(ToolSettings(most_threads=2))
    registry.register(stuck)
    clock, offered = SystemClock(), frozenset({"stuck"})
    calls = [call_tool(registry, asked("stuck"), CTX, offered=offered, clock=clock) for _ in range(3)]
    codes = sorted(code_of(record) for record in await asyncio.gather(*calls))
    release.set()
    assert codes == ["tool.busy", "tool.outcome_unknown", "tool.outcome_unknown"]
    while code_of(await call_tool(registry, asked("stuck"), CTX, offered=offered, clock=clock)) == "tool.busy":
        await asyncio.to_thread(release.wait)


@pytest.mark.parametrize("value", [math.nan, object()])
async def test_a_result_that_cannot_be_kept_is_an_error_unless_an_effect_took_place(value: object) -> None:
    async def give() -> object:
        return value

    assert (await run(give)).outcome is ToolOutcome.ERROR
    record = await run(give, effect=Effect.IRREVERSIBLE)
    assert (record.outcome, code_of(record), record.result) == (ToolOutcome.OK, "tool.bad_result", None)


async def test_a_large_result_is_stored_aside_with_its_beginning_in_the_record() -> None:
    stored: list[bytes] = []

    async def store(data: bytes) -> str:
        stored.append(data)
        return "ref-1"

    async def text() -> str:
        return "é" * 200_000

    async def rows() -> list[int]:
        return list(range(100_000))

    record = await run(text, store_blob=store)
    assert (record.result_ref, record.result) == ("ref-1", "é" * 2048)
    assert json.loads(stored[0]) == "é" * 200_000
    record = await run(rows, store_blob=store)
    assert record.result.startswith("[0,1,2,") and len(record.result) == 4096
    assert json.loads(stored[1])[-1] == 99_999
    assert len(record.model_dump_json()) < 10_000


async def test_a_large_result_that_cannot_be_stored_is_an_error_unless_an_effect_took_place() -> None:
    async def rows() -> list[int]:
        return list(range(100_000))

    async def down(data: bytes) -> str:
        raise OSError("password=hunter2")

    for store in (None, down):
        assert (await run(rows, store_blob=store)).outcome is ToolOutcome.ERROR
        record = await run(rows, store_blob=store, effect=Effect.KEYED)
        assert (record.outcome, code_of(record)) == (ToolOutcome.OK, "tool.bad_result")
        assert "hunter2" not in record.model_dump_json()


@pytest.mark.parametrize(
    ("answer", "outcome"),
    [
        (ReconcileResult(happened=True, result={"id": 7}), ToolOutcome.OK),
        (ReconcileResult(happened=None), ToolOutcome.UNKNOWN),
        (ReconcileResult(happened=False), None),
        (ValueError("gone"), ToolOutcome.UNKNOWN),
        ("yes", ToolOutcome.UNKNOWN),
    ],
)
async def test_a_reconcile_hook_settles_an_unknown_outcome_or_leaves_it(answer: Any, outcome: Any) -> None:
    seen: list[Any] = []

    async def hook(arguments: dict[str, Any], ctx: ToolContext) -> ReconcileResult:
        seen.append((arguments, ctx.idempotency_key))
        if isinstance(answer, Exception):
            raise answer
        return answer  # type: ignore[no-any-return]

    @tool(name="pay", effect="keyed", reconcile=hook)
    async def pay(amount: int) -> None: ...

    registry = ToolRegistry()
    registry.register(pay)
    record = await reconcile_call(registry, asked("pay", {"amount": 3}), CTX, clock=SystemClock())
    assert seen == [({"amount": 3}, hashlib.sha256(b"r1|t1|c1").hexdigest()[:32])]
    assert (record.outcome if record else None) == outcome
    if outcome is ToolOutcome.OK:
        assert record is not None and (record.result, record.decided_by) == ({"id": 7}, "reconcile")


async def test_without_a_hook_an_unknown_outcome_stays_unknown() -> None:
    registry = ToolRegistry()
    record = await reconcile_call(registry, asked("gone"), CTX, clock=SystemClock())
    assert record is not None and record.outcome is ToolOutcome.UNKNOWN


async def builtin(name: str, arguments: dict[str, Any]) -> ToolRecord:
    registry = ToolRegistry()
    registry.load_builtin()
    return await call_tool(registry, asked(name, arguments), CTX, offered=frozenset({name}), clock=SystemClock())


async def test_metrics_are_those_of_the_textbook() -> None:
    record = await builtin("calculate_metrics", {"values": [4, 1, 3, 2, 5]})
    assert record.result == {
        "count": 5,
        "sum": 15.0,
        "mean": 3.0,
        "median": 3.0,
        "min": 1.0,
        "max": 5.0,
        "stdev": pytest.approx(1.5811388),
        "p95": pytest.approx(4.8),
    }
    assert (await builtin("calculate_metrics", {"values": [7]})).result["stdev"] == 0.0
    assert code_of(await builtin("calculate_metrics", {"values": []})) == "tool.bad_arguments"
    assert (await builtin("calculate_metrics", {"values": [1e308, 1e308]})).outcome is ToolOutcome.ERROR


async def test_json_goes_there_and_back_and_bad_json_is_explained() -> None:
    value = {"b": [1, 2.5, None, True, "é"], "a": {}}
    text = (await builtin("json_stringify", {"value": value})).result
    assert text == '{"a": {}, "b": [1, 2.5, null, true, "é"]}'
    assert (await builtin("json_parse", {"text": text})).result == value
    for bad in ("{", "NaN", "[" * 5_000, "'a'"):
        assert code_of(await builtin("json_parse", {"text": bad})) == "tool.bad_arguments"


async def test_system_resources_are_this_machines() -> None:
    result = (await builtin("system_resources", {})).result
    assert result["memory_total_bytes"] > result["memory_available_bytes"] > 0
    assert result["disk_total_bytes"] > 0
    assert 0 <= result["cpu_percent"] <= 100
    assert result["uptime_seconds"] > 0
