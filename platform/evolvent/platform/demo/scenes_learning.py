"""The scene in which work that comes again is learnt: the same requests before and after, and one that is different."""

from __future__ import annotations

import asyncio
import statistics
from collections.abc import Sequence
from typing import Any

from evolvent.events.language.agents import AgentSpec
from evolvent.events.messages.calls import AgentReply, SpawnAgent
from evolvent.events.messages.learning_calls import AutomationList, AutomationRow, LearnReply
from evolvent.orchestrator.routing.automations import POLL_SECONDS
from evolvent.platform.asking import Answer, Step
from evolvent.platform.cli.steps import sentence
from evolvent.platform.demo.parcels import HELD
from evolvent.platform.demo.scenes_work import Book, said
from evolvent.platform.demo.stage import Stage
from evolvent.platform.demo.telling import Teller

GOAL = "parcels"
_NUMBERS = ("P-1043", "P-2210", "P-3087", "P-4154", "P-5321", "P-6498", "P-7565", "P-8632")
_TURN_SECONDS = 0.4
"""How long a turn of the scripted model takes here: a real one takes longer."""
_LEARN_SECONDS = 15.0
_LOOK_EVERY_SECONDS = 0.1
_AS_FAST_AS_IT_GOES = 0.005


async def learning(stage: Stage, tell: Teller, book: Book) -> dict[str, Any]:
    """Have an agent serve one kind of request, learn from it, and have the same requests served by what was learnt."""
    call = SpawnAgent(specialty="parcel desk", goal=GOAL)
    agent = AgentReply.decode(await stage.call("loader", "spawn", call.encode())).spec
    questions = [_question(number) for number in _NUMBERS]
    stage.slow_down(_TURN_SECONDS)
    try:
        with tell.waiting("the agent serves them all"):
            before = await _all_of(stage, book, questions)
        with tell.waiting("the learner reads what was recorded"):
            learnt = await _learn(stage)
        if learnt is None:
            return _nothing_learnt(tell, agent, before)
        _tell_what(tell, learnt)
        with tell.waiting("the same requests again"):
            await asyncio.sleep(1.2 * POLL_SECONDS)  # until every orchestrator has looked at least once
            after = await _all_of(stage, book, questions)
        numbers = _tell_both(tell, before, after)
        return {**numbers, "automation": learnt.automation_id, **await _a_different_one(stage, tell, book)}
    finally:
        stage.slow_down(_AS_FAST_AS_IT_GOES)


def _question(number: str) -> str:
    return f"Where is parcel {number}, and when does it arrive?"


async def _all_of(stage: Stage, book: Book, questions: Sequence[str]) -> list[Answer]:
    answers = await asyncio.gather(*(stage.client.ask(question, goal=GOAL) for question in questions))
    return [book.enter(answer) for answer in answers]


async def _learn(stage: Stage) -> AutomationRow | None:
    """Learn until something serves; the recorder may be a moment behind. None where nothing comes of it."""
    loop = asyncio.get_running_loop()
    end = loop.time() + _LEARN_SECONDS
    while loop.time() < end:
        while LearnReply.decode(await stage.call("improvement", "learn", b"{}")).more:
            continue
        found = AutomationList.decode(await stage.call("improvement", "automations", b"{}")).automations
        if live := [each for each in found if each.goal == GOAL and each.status == "live"]:
            return live[0]
        await asyncio.sleep(_LOOK_EVERY_SECONDS)
    return None


def _nothing_learnt(tell: Teller, agent: AgentSpec, before: Sequence[Answer]) -> dict[str, Any]:
    tell.line(
        f"{agent.agent_id} did not do the same in {len(before)} runs, so nothing was learnt: doubt goes to agents."
    )
    tell.line("`evolvent patterns list` says why.")
    return {"automation": None, "requests": len(before), "by_automation": 0}


def _tell_what(tell: Teller, learnt: AutomationRow) -> None:
    label = f"{learnt.automation_id}@{learnt.version}"
    tell.line(f"Learnt from {learnt.source_runs} runs: {learnt.name}, {label}. It only reads, so it serves at once;")
    tell.line("what writes waits for `evolvent automations approve`. No code was written: it is a workflow to be read.")
    tell.blank()


def _tell_both(tell: Teller, before: Sequence[Answer], after: Sequence[Answer]) -> dict[str, Any]:
    same = sum(first.answer == second.answer for first, second in zip(before, after, strict=True))
    by_automation = sum(answer.served_by == "automation" for answer in after)
    facts = {"before": _facts(before), "after": _facts(after)}
    rows = [
        (name.replace("_", " "), _shown(facts["before"][name]), _shown(facts["after"][name]))
        for name in facts["before"]
    ]
    tell.table(("of all requests together", "by the agent#", "by what it taught#"), rows, fold=())
    tell.line(
        f"{by_automation} of {len(after)} were served by the automation; {same} answers are equal, word for word."
    )
    tell.quote(said(after[0].answer, scripted=before[0].scripted))
    return {"requests": len(after), "by_automation": by_automation, "equal_answers": same, **facts}


def _facts(answers: Sequence[Answer]) -> dict[str, float]:
    return {
        "model_calls": sum(answer.model_calls for answer in answers),
        "tokens": sum(answer.prompt_tokens + answer.completion_tokens for answer in answers),
        "cost_usd": round(sum(answer.cost_usd for answer in answers), 6),
        "p50_seconds": round(statistics.median(answer.duration_seconds for answer in answers), 4),
    }


async def _a_different_one(stage: Stage, tell: Teller, book: Book) -> dict[str, Any]:
    steps: list[Step] = []
    answer = book.enter(await stage.client.ask(_question(HELD), goal=GOAL, on_step=steps.append))
    tell.blank()
    tell.clipped(f"? {_question(HELD)}", style="bold")
    for step in steps:
        if line := sentence(step):
            tell.clipped(line, style="dim")
    tell.quote(said(answer.answer, scripted=answer.scripted))
    tell.line(
        "A guard saw what no run had shown before anything else happened; the agent took over with what was read."
    )
    types = [step.type for step in steps]
    return {"drifted": {"served_by": answer.served_by, "deoptimized": "deoptimized" in types, "answer": answer.answer}}


def _shown(value: float) -> str:
    return str(value) if isinstance(value, int) else f"{value:.6f}".rstrip("0").rstrip(".")
