"""An automation tried on a recorded run: on its results alone, and nothing guessed."""

from __future__ import annotations

from typing import Any

import pytest
from support import orders
from support.runs import AGENT, NOW, RUN, envelope, started, turn

from evolvent.events.errors import Category, ErrorInfo
from evolvent.events.language.learning.automation import Automation
from evolvent.events.language.learning.rehearsal import Rehearsal, rehearse
from evolvent.events.language.tools import Effect
from evolvent.events.messages.requests import Request
from evolvent.events.messages.runs import (
    AnyRunEvent,
    ToolCompleted,
    ToolOutcome,
    ToolRecord,
    WorkflowCompleted,
)

CANCEL, ASK = sorted(
    orders.learnt(
        *(orders.cancelling(number, agent_id=AGENT.agent_id) for number in range(10, 26, 2)),
        *(orders.asking(number, agent_id=AGENT.agent_id) for number in range(10, 18)),
    ),
    key=lambda each: -len(each.steps),
)
ORDER = orders.ORDERS["o-21"]
MESSAGE = "Please cancel order o-21 and pay it back."
FIND = ("find_order", {"order_id": "o-21"}, ORDER)
CANCELLED = ("cancel_order", {"order_id": "o-21"}, {"order_id": "o-21", "status": "cancelled"})
REFUNDED = ("refund", {"order_id": "o-21", "usd": 31}, {"order_id": "o-21", "refunded": 31})
Call = tuple[str, dict[str, Any], Any]


def run(message: str, *calls: Call, answer: str = "Done.") -> list[tuple[int, AnyRunEvent]]:
    """A run in which the agent made these calls in one turn each, and answered."""
    events: list[Any] = [started(request=Request(message=message))]
    for number, (name, arguments, result) in enumerate(calls):
        effect = Effect.READ if name == "find_order" else Effect.KEYED
        error = result if isinstance(result, ErrorInfo) else None
        record = ToolRecord(
            task_id="answer",
            call_id=f"c{number}_0",
            name=name,
            effect=effect,
            arguments=arguments,
            outcome=ToolOutcome.ERROR if error else ToolOutcome.OK,
            result=None if error else result,
            error=error,
            started_at=NOW,
        )
        asked = turn(number, (name, arguments))
        events.append(ToolCompleted(**envelope(number + 1), turns=(asked,), tools=(record,)))
    last = len(calls)
    events.append(WorkflowCompleted(**envelope(last + 1), turns=(turn(last, text=answer),), answer=answer))
    return list(enumerate(events, 1))


def rehearsed(entries: list[tuple[int, AnyRunEvent]], *automations: Automation) -> Rehearsal:
    return rehearse(RUN, entries, automations or (CANCEL,))


def test_the_same_writes_are_the_same_whatever_the_agent_said() -> None:
    found = rehearsed(run(MESSAGE, FIND, CANCELLED, REFUNDED))
    assert (found.verdict, found.missing, found.added) == ("same", (), ())
    assert [each.tool for each in found.rehearsed] == ["cancel_order", "refund"]
    assert (found.recorded_answer, found.answer) == ("Done.", "Order o-21 is cancelled and 31 USD are paid back.")


def test_a_read_twice_is_answered_twice() -> None:
    assert rehearsed(run(MESSAGE, FIND, FIND, CANCELLED, REFUNDED)).verdict == "same"


def test_a_write_that_the_run_did_not_make_is_a_difference() -> None:
    found = rehearsed(run(MESSAGE, FIND, CANCELLED))
    assert (found.verdict, [each.tool for each in found.added]) == ("different", ["refund"])
    other = ("refund", {"order_id": "o-21", "usd": 15}, {})
    found = rehearsed(run(MESSAGE, FIND, CANCELLED, other))
    assert found.verdict == "different"
    assert [each.arguments["usd"] for each in (*found.missing, *found.added)] == [15, 31]


def test_a_write_that_only_the_run_made_is_a_difference() -> None:
    again = ("refund", {"order_id": "o-3", "usd": 1}, {})
    found = rehearsed(run(MESSAGE, FIND, CANCELLED, REFUNDED, again))
    assert (found.verdict, [each.arguments["order_id"] for each in found.missing]) == ("different", ["o-3"])


def test_a_write_that_failed_in_the_run_would_be_handed_over() -> None:
    error = ErrorInfo(code="tool.failed", category=Category.TOOL, message="The till is closed.")
    found = rehearsed(run(MESSAGE, FIND, CANCELLED, ("refund", REFUNDED[1], error)))
    assert found.verdict == "undecided"
    assert "The till is closed" in found.reason


def test_a_read_that_the_run_did_not_make_is_not_decidable() -> None:
    found = rehearsed(run(MESSAGE, CANCELLED, REFUNDED))
    assert found.verdict == "undecided"
    assert found.reason.startswith("The run never called find_order(order_id='o-21')")


def test_a_guard_that_fails_would_hand_over() -> None:
    found = rehearsed(run(MESSAGE, ("find_order", FIND[1], ORDER | {"status": "sent"})))
    assert found.verdict == "undecided"
    assert "hand over to the agent" in found.reason


@pytest.mark.parametrize(("answer", "verdict"), [("Order o-21 is at desk-1.", "same"), ("At desk-2.", "different")])
def test_where_nothing_is_written_the_answers_decide(answer: str, verdict: str) -> None:
    assert rehearsed(run("Where is order o-21?", FIND, answer=answer), ASK).verdict == verdict


def test_a_request_that_is_not_known_and_a_run_that_has_not_ended_are_not_decidable() -> None:
    assert rehearsed(run("Please cancel it all.", FIND)).verdict == "undecided"
    assert "has not ended" in rehearsed(run(MESSAGE, FIND)[:-1]).reason
