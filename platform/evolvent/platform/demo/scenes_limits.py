"""The later scenes: money runs out and comes back, a process is killed, agents leave memory and return."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Sequence
from typing import Any

from evolvent.events.messages.calls import BudgetList, BudgetQuery, BudgetView, Empty, LoaderStats, SetBudget
from evolvent.platform.asking import Answer, Step
from evolvent.platform.demo.scenes_work import Book, said
from evolvent.platform.demo.stage import ACK_WAIT_SECONDS, AGENTS_IN_MEMORY, DemoFailed, Stage
from evolvent.platform.demo.telling import Teller

_TINY_USD, _ENOUGH_USD = 0.0001, 1.0
_TURN_SECONDS = 0.8
_INTO_THE_TURN_SECONDS = 0.3
_RUNS_AT_ONCE = 4
_TRIES = 5
_GOES_ON_SECONDS = 30.0


async def money(stage: Stage, tell: Teller, book: Book) -> dict[str, Any]:
    """Show every budget; let a run meet a cap that is too low, and raise it."""
    await _cap(stage, "thrifty", _TINY_USD)
    tell.line(f"The goal 'thrifty' may spend ${_TINY_USD} a day. It asks:")
    run_id = str(uuid.uuid4())
    refused = await stage.client.ask("How is this machine doing?", goal="thrifty", run_id=run_id)
    if refused.status != "suspended" or refused.error is None:
        raise DemoFailed(f"A run with a cap of ${_TINY_USD} should wait for budget, and is {refused.status}.")
    tell.line(f"suspended: {refused.error.message}", style="yellow")
    tell.code(f"evolvent budget set thrifty --daily {_ENOUGH_USD:g}")
    began = time.monotonic()
    with tell.waiting("the run goes on by itself"):
        await _cap(stage, "thrifty", _ENOUGH_USD)
        async with asyncio.timeout(_GOES_ON_SECONDS):
            answer = await _ended(stage, run_id)
    seconds = time.monotonic() - began
    book.enter(answer)
    tell.line(f"{answer.status} {seconds:.2f} s later, the same run, by itself:", style="bold")
    tell.quote(said(answer.answer, scripted=answer.scripted), most_lines=2)
    tell.blank()
    budgets = BudgetList.decode(await stage.call("resources", "budgets", Empty().encode())).budgets
    tell.line("Every goal's budget today. What a turn may cost at most is leased before it is made, so that")
    tell.line("spent + leased never passes the cap, however many processes there are:")
    rows = [(v.goal, _usd(v.spent_microusd), _usd(v.leased_microusd), _cap_of(v), v.policy) for v in budgets]
    tell.table(("goal", "spent#", "leased#", "cap#", "at the cap"), rows)
    tell.note("`*` is the whole platform; a goal that nobody gave a budget of its own shares that of 'default'.")
    return {
        "run_id": run_id,
        "suspended_code": refused.error.code,
        "resumed_after_seconds": round(seconds, 3),
        "within_every_cap": all(v.spent_microusd + v.leased_microusd <= v.max_daily_microusd for v in budgets),
    }


async def a_kill(stage: Stage, tell: Teller, book: Book) -> dict[str, Any]:
    """Kill an orchestrator in the middle of a run, and show what its neighbour does with it."""
    with tell.waiting("a second orchestrator starts"):
        second = await stage.start_second()
    tell.line(f"A second orchestrator, {second.instance}, runs as a process of its own (pid {second.process.pid}).")
    stage.slow_down(_TURN_SECONDS)
    try:
        with tell.waiting("runs are under way on both"):
            runs, victim = await _a_run_of(stage, second.instance)
        await asyncio.sleep(_INTO_THE_TURN_SECONDS)
        second.kill()
        killed_at = time.monotonic()
        tell.line(f"{len(runs)} runs are under way. It has run the tools of {victim[:8]} and begun a turn. kill -9 …")
        with tell.waiting("nobody drives those runs now; the silence is noticed"):
            async with asyncio.timeout(_GOES_ON_SECONDS):
                for answer in await asyncio.gather(*(stage.client.wait(run_id) for run_id in runs)):
                    book.enter(answer)
    finally:
        stage.slow_down(0.005)
    seconds = time.monotonic() - killed_at
    steps = [step async for step in stage.client.follow(victim)]
    tell.line(f"All {len(runs)} runs have ended well, {seconds:.1f} s later. The journal of that one:")
    _tell_takeover(tell, steps, second.instance)
    stored, repeated = stored_and_repeated(steps)
    tell.line(f"Stored before the kill: {stored} turns and tool calls. Of these done again: {repeated}.", style="bold")
    tell.note(f"(A silent owner keeps a run {ACK_WAIT_SECONDS:g} s here; 10 s is the default.)")
    return {
        "run_id": victim,
        "killed_pid": second.process.pid,
        "runs_at_once": len(runs),
        "events": [step.type for step in steps],
        "resumed_by_another": _resumed_by(steps) not in ("", second.instance),
        "stored_before": stored,
        "stored_work_repeated": repeated,
        "recovered_after_seconds": round(seconds, 2),
    }


async def evictions(stage: Stage, tell: Teller, book: Book) -> dict[str, Any]:
    """Show who had to leave memory; ask one of them again."""
    gone = book.evicted[0] if book.evicted else ""
    known = {spec.agent_id: spec for spec in book.agents}
    back = next((agent_id for agent_id in reversed(book.evicted) if agent_id in known), "")
    if not gone or not back:
        raise DemoFailed(f"More than {AGENTS_IN_MEMORY} agents worked, and none was evicted.")
    tell.line(f"evicted so far, in order: {', '.join(book.evicted)}")
    answer = book.enter(await stage.client.ask("What is the average of 3 5 8?", goal=known[back].goal, agent=back))
    tell.line(f"{back} was evicted; its spec is stored, so it is asked again:")
    tell.quote(said(answer.answer, scripted=answer.scripted), most_lines=3)
    stats = [
        await _loader_stats(stage, row["instance"]) for row in await stage.services() if row["service"] == "loader"
    ]
    rows = [(s.loader, f"{s.resident} of {s.max_active_agents}", s.activations, s.hits, s.evictions) for s in stats]
    tell.table(("loader", "in memory#", "activated#", "found there#", "evicted#"), rows)
    return {
        "evictions": sum(s.evictions for s in stats),
        "resident": max(s.resident for s in stats),
        "max_active_agents": AGENTS_IN_MEMORY,
        "evicted_and_asked_again": back,
        "seconds": answer.duration_seconds,
    }


async def _cap(stage: Stage, goal: str, daily_usd: float) -> None:
    await stage.call("resources", "set_budget", SetBudget(goal=goal, max_daily_usd=daily_usd).encode())
    view = BudgetView.decode(await stage.call("resources", "budget", BudgetQuery(goal=goal).encode()))
    if view.max_daily_microusd != round(daily_usd * 1e6):
        raise DemoFailed(f"The cap of {goal!r} is {view.max_daily_microusd} micro-dollars and not ${daily_usd}.")


async def _ended(stage: Stage, run_id: str) -> Answer:
    """Wait past the suspension, to the end."""
    async for step in stage.client.follow(run_id):
        if step.type in ("workflow_completed", "workflow_failed", "workflow_cancelled"):
            break
    return await stage.client.wait(run_id)


async def _a_run_of(stage: Stage, instance: str) -> tuple[list[str], str]:
    """Publish runs until one of them has run its tools in this instance and is in its last turn."""
    runs: list[str] = []
    for _ in range(_TRIES):
        batch = [str(uuid.uuid4()) for _ in range(_RUNS_AT_ONCE)]
        runs += batch
        watching = [asyncio.create_task(_tools_run_by(stage, run_id)) for run_id in batch]
        await asyncio.gather(
            *(stage.client.publish("Make a health report of this machine", goal="operations", run_id=r) for r in batch)
        )
        try:
            for done in asyncio.as_completed(watching, timeout=_GOES_ON_SECONDS):
                run_id, owner = await done
                if owner == instance:
                    return runs, run_id
        finally:
            for task in watching:
                task.cancel()
            await asyncio.gather(*watching, return_exceptions=True)
    raise DemoFailed(f"{len(runs)} runs were published, and {instance} took none of them.")


async def _tools_run_by(stage: Stage, run_id: str) -> tuple[str, str]:
    """Return the run and its owner as soon as its first tool call is stored."""
    owner = ""
    async for step in stage.client.follow(run_id):
        owner = str(step.data.get("owner", owner))
        if step.type in ("tool_completed", "workflow_completed", "workflow_failed"):
            return run_id, owner if step.type == "tool_completed" else ""
    return run_id, ""


def _tell_takeover(tell: Teller, steps: list[Step], killed: str) -> None:
    owner = ""
    for step in steps:
        owner = str(step.data.get("owner", owner))
        if step.type == "workflow_resumed":
            tell.clipped(f"  ✗ {killed} was killed", style="red")
            tell.clipped(f"  workflow_resumed     attempt {step.data['attempt']}, by {owner}", style="bold yellow")
            continue
        what = step.data.get("name") or (f"turn {step.data['turn']}" if "turn" in step.data else "")
        tell.clipped(f"  {step.type:<20} {what:<18} {owner}")


def stored_and_repeated(steps: Sequence[Step]) -> tuple[int, int]:
    """Return how many turns and tool calls were stored before a run was taken over, and how many of them came again."""
    at = next((at for at, step in enumerate(steps) if step.type == "workflow_resumed"), len(steps))
    before, after = _done(steps[:at]), _done(steps[at:])
    return len(before), len(set(before) & set(after))


def _done(steps: Sequence[Step]) -> list[tuple[str, object]]:
    turns = [("turn", step.data["turn"]) for step in steps if step.type == "agent_completed"]
    return turns + [("tool", step.data["call_id"]) for step in steps if step.type == "tool_completed"]


def _resumed_by(steps: list[Step]) -> str:
    return next((str(step.data["owner"]) for step in steps if step.type == "workflow_resumed"), "")


async def _loader_stats(stage: Stage, instance: str) -> LoaderStats:
    return LoaderStats.decode(await stage.call("loader", "stats", Empty().encode(), instance))


def _usd(microusd: int) -> str:
    return f"${microusd / 1e6:.6f}"


def _cap_of(view: BudgetView) -> str:
    return "none" if view.max_daily_microusd >= 10**15 else f"${view.max_daily_microusd / 1e6:.2f}"
