"""The scripted agent: slips by seed, its answers from messages alone, and offline runs as learning reads them."""

from __future__ import annotations

import json
import time
from dataclasses import replace

import pytest
from support.learning_bed import beds
from support.learning_bed.agent import Knobs, ScriptedAgent
from support.learning_bed.bed import Bed
from support.learning_bed.offline import Offline, run_offline
from support.learning_bed.ops.world import INJECTION
from support.learning_bed.requests import BedRequest
from support.learning_bed.responder import UNKNOWN_REQUEST, SeededFaults

from evolvent.events.clock import SystemClock
from evolvent.events.language.conversation import ToolCall
from evolvent.orchestrator.tools import ToolContext, ToolRegistry
from evolvent.orchestrator.tools.call import call_tool
from evolvent.platform.scripted_model.chat import ChatRequest, Responder, parse_json
from evolvent.platform.scripted_model.faults import FaultKind


def knobbed(bed: Bed, knobs: Knobs) -> Bed:
    return bed.with_agent(ScriptedAgent(bed.agent.policy, knobs, bed.agent.alternatives))


@pytest.mark.parametrize("name", beds.OWN)
def test_slips_spoil_about_their_share_of_the_runs_that_write_and_nothing_else(name: str) -> None:
    bed = knobbed(beds.bed(name, count=400), Knobs(seed=5, slip_rate=0.2, redundant_rate=0.3))
    runs = list(bed.run_offline())
    writing = [run for run in runs if run.request.writes]
    share = sum(not run.is_right for run in writing) / len(writing)
    assert 0.08 < share < 0.22
    assert all(run.is_right for run in runs if not run.request.writes)
    repeated = [
        run for run in runs if len({str((c.name, c.arguments)) for c in run.trace.calls}) < len(run.trace.calls)
    ]
    assert 0.2 < len(repeated) / len(runs) < 0.4


def test_slips_come_again_with_their_seed_and_go_elsewhere_in_another_attempt() -> None:
    bed = knobbed(beds.bed("bank", count=200), Knobs(seed=1, slip_rate=0.5))
    first = [run.is_right for run in bed.run_offline()]
    assert first == [run.is_right for run in bed.run_offline()]
    other = knobbed(bed, Knobs(seed=2, slip_rate=0.5))
    assert first != [run.is_right for run in other.run_offline()]


def test_a_systematic_mistake_is_made_in_every_run() -> None:
    bed = knobbed(beds.bed("ops", count=300), Knobs(always_wrong=frozenset({"restart_service"})))
    runs = list(bed.run_offline())
    assert {run.is_right for run in runs if run.request.intents == ("restart",)} == {False}
    assert {run.is_right for run in runs if run.request.intents == ("scale",)} == {True}


def test_traces_hold_what_learning_needs_and_nothing_of_the_judge() -> None:
    bed = beds.bed("calendar", count=20)
    traces = run_offline(bed.world, bed.requests, bed.agent)
    for trace, request in zip(traces, bed.requests, strict=True):
        assert trace.message == request.text
        assert trace.outcome is None
        assert trace.model_calls == len(trace.calls) + 1
        assert trace.prompt_tokens > trace.completion_tokens > 0
        assert trace.started_at is not None and trace.ended_at is not None and trace.ended_at > trace.started_at
        for call in trace.calls:
            spec = bed.world.tools[call.name].spec
            assert (call.effect, call.schema_hash, call.origin) == (spec.effect, spec.schema_hash, spec.origin)
    judged = run_offline(bed.world, bed.requests, bed.agent, outcomes="judge")
    assert {trace.outcome for trace in judged} == {True}


def test_broken_arguments_are_failed_calls_that_are_made_again() -> None:
    bed = knobbed(beds.bed("ops", count=200), Knobs(broken_arguments=0.2))
    runs = list(bed.run_offline())
    assert all(run.is_right for run in runs)
    errors = [call for run in runs for call in run.trace.calls if call.error]
    assert errors and {call.error for call in errors} == {"tool.bad_arguments"}


def test_some_results_of_the_ops_world_hold_instructions_that_strangers_wrote() -> None:
    bed = beds.bed("ops", count=600)
    calls = [call for run in bed.run_offline() for call in run.trace.calls]
    bulletins = [str(call.result) for call in calls if call.name == "vendor_bulletin"]
    services = [str(call.result) for call in calls if call.name == "find_service"]
    for texts in (bulletins, services):
        assert 0.01 < sum(INJECTION in text for text in texts) / len(texts) < 0.12
    assert {call.origin for call in calls if call.name == "vendor_bulletin"} == {"web"}


def test_one_person_can_be_made_to_repeat_a_flow_in_one_session() -> None:
    bed = beds.bed("ops", count=1)
    offline = Offline(bed.world, bed.agent, principal="mallory", session_id="s1")
    traces = [offline.run(bed.requests[0]).trace for _ in range(50)]
    assert {(trace.principal, trace.session_id) for trace in traces} == {("mallory", "s1")}
    assert len({trace.run_id for trace in traces}) == 50


def test_a_thousand_runs_take_less_than_a_second() -> None:
    bed = beds.bed("ops", count=1000)
    best = min(_seconds(bed) for _ in range(2))
    assert best < 1.0


def _seconds(bed: Bed) -> float:
    begun = time.perf_counter()
    run_offline(bed.world, bed.requests, bed.agent)
    return time.perf_counter() - begun


@pytest.mark.parametrize("name", beds.OWN)
async def test_behind_the_model_server_it_does_the_same_through_the_platform_s_own_tools(name: str) -> None:
    bed = beds.bed(name, seed=9, count=40)
    responder = bed.responder()
    registry = ToolRegistry()
    registry.load_modules(bed.world.modules)
    desk = bed.world.desk()
    registry.provide("learning_bed", desk)
    for number, request in enumerate(bed.requests):
        run_id = f"live-{number}"
        answer = await conversation(responder, registry, request, run_id)
        assert bed.judge(request, desk.changes(name, run_id), answer).is_right
    assert not responder.flags


async def test_reads_that_were_made_beforehand_are_not_asked_for_again() -> None:
    bed = beds.bed("bank", count=60)
    request = next(r for r in bed.requests if r.intents == ("transfer",))
    whole = run_offline(bed.world, [request], bed.agent)[0]
    messages = [{"role": "user", "content": f"Serve this.\n\n{request.text}\n\nContext: {{}}"}]
    for number, call in enumerate(whole.calls[:2]):
        messages += exchange(f"pre{number}", call.name, dict(call.arguments), call.result)
    answer = bed.responder().answer(ChatRequest("m", tuple(messages)))
    assert [call.name for call in answer.calls] == ["order_transfer"]
    assert parse_json(answer.calls[0].arguments) == whole.calls[2].arguments
    assert answer.extra["virtual_ms"] > 300


def test_a_request_that_it_was_not_given_is_answered_with_a_flag() -> None:
    answer = beds.bed("ops", count=1).responder().answer(ChatRequest("m", ({"role": "user", "content": "hello"},)))
    assert (answer.text, answer.extra) == (UNKNOWN_REQUEST, {"flag": "no script"})


async def test_conversations_over_the_same_text_slip_each_in_its_own_way_where_wanted() -> None:
    bed = knobbed(beds.bed("bank", seed=4, count=30), Knobs(slip_rate=0.5))
    request = next(r for r in bed.requests if r.intents == ("block",))
    registry = ToolRegistry()
    registry.load_modules(bed.world.modules)
    desk = bed.world.desk()
    registry.provide("learning_bed", desk)
    for fresh, ends in ((False, 1), (True, 2)):
        responder = bed.responder(fresh_slips=fresh)
        right = set()
        for number in range(12):
            run_id = f"{fresh}-{number}"
            await conversation(responder, registry, request, run_id)
            right.add(bed.judge(request, desk.changes("bank", run_id)).is_right)
        assert len(right) == ends


def test_faults_come_by_seed_at_their_rates_and_retries_go_well() -> None:
    bed = beds.bed("ops", count=400)
    knobs = Knobs(seed=2, rate_limited=0.1, server_errors=0.1, broken_arguments=0.1)
    responder = bed.responder()

    def faults() -> list[FaultKind | None]:
        board = SeededFaults(knobs)
        kinds = []
        for request in bed.requests:
            asked = ChatRequest("m", ({"role": "user", "content": request.text},))
            fault = board.take(asked, responder.answer(asked))
            assert board.take(asked, responder.answer(asked)) is None
            kinds.append(fault.kind if fault else None)
        return kinds

    first = faults()
    assert first == faults()
    for kind in (FaultKind.RATE_LIMIT, FaultKind.SERVER_ERROR, FaultKind.BAD_ARGUMENTS):
        assert 0.05 < first.count(kind) / 400 < 0.16


async def test_a_negative_ends_in_a_refusal_without_a_write() -> None:
    bed = beds.negatives_of(beds.bed("calendar", count=100), count=70)
    registry = ToolRegistry()
    registry.load_modules(bed.world.modules)
    desk = bed.world.desk()
    registry.provide("learning_bed", desk)
    responder = bed.responder()
    for number, request in enumerate(bed.requests):
        await conversation(responder, registry, request, f"n-{number}")
        assert desk.changes("calendar", f"n-{number}") == {}


def test_requests_are_judged_by_records_and_by_the_answer_where_only_asked() -> None:
    bed = beds.bed("ops", count=100)
    asks = next(r for r in bed.requests if r.answer is not None)
    assert bed.judge(asks, {}, asks.answer).is_right
    assert not bed.judge(asks, {}, "about five").is_right
    writes = next(r for r in bed.requests if r.expected)
    verdict = bed.judge(writes, {})
    assert (verdict.is_right, verdict.wrote) == (False, False)
    assert not bed.judge(replace(asks, expected={}), writes.expected).is_right


async def conversation(responder: Responder, registry: ToolRegistry, request: BedRequest, run_id: str) -> str:
    """Carry a request out as the platform does: every state in the messages, every call through `call_tool`."""
    messages: list[dict[str, object]] = [{"role": "user", "content": request.text}]
    offered = frozenset(spec.name for spec in registry.specs())
    for turn in range(60):
        answer = responder.answer(ChatRequest("m", tuple(messages)))
        if not answer.calls:
            assert answer.text is not None
            return answer.text
        [call] = answer.calls
        wanted = ToolCall(call_id=f"c{turn}", name=call.name, arguments=parse_json(call.arguments))
        ctx = ToolContext(run_id, "answer", wanted.call_id)
        record = await call_tool(registry, wanted, ctx, offered=offered, clock=SystemClock())
        error = {"error": record.error.message, "code": record.error.code} if record.error else None
        messages += exchange(wanted.call_id, call.name, wanted.arguments, error or record.result)
    raise AssertionError(f"{request.request_id} never came to an end")


def exchange(call_id: str, name: str, arguments: object, result: object) -> list[dict[str, object]]:
    function = {"name": name, "arguments": json.dumps(arguments)}
    text = result if isinstance(result, str) else json.dumps(result)
    return [
        {"role": "assistant", "content": None, "tool_calls": [{"id": call_id, "function": function}]},
        {"role": "tool", "tool_call_id": call_id, "content": text},
    ]
