"""Has a workflow planned: asks the planner, has its answer checked, tells it what is wrong, within a budget.

Every attempt is an ordinary request, under the budget of its goal. The answer is read by the orchestrator
(`events/language/planning.py`), because it knows the tools. Shown in use by tests/e2e/test_workflow_commands.py.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from evolvent.events.envelope import Message
from evolvent.events.errors import Category, EvolventError, InvalidMessage
from evolvent.events.language.workflow import Workflow
from evolvent.events.language.workflow_problems import Problem
from evolvent.events.messages.workflow_calls import (
    MAX_PLAN_TEXT,
    Checked,
    PlannerTask,
    PlanPrompt,
    ReadPlan,
)
from evolvent.platform.asking import Answer

MOST_REPAIRS = 5


class PlanFailed(EvolventError):
    """No plan that could run came of it; say the problem in other words, or write the workflow yourself."""

    code, category = "workflow.plan_failed", Category.AGENT


@dataclass(frozen=True, slots=True)
class PlannedWorkflow:
    """A plan that could run, and what it took to get it. It is not stored."""

    workflow: Workflow
    advice: tuple[Problem, ...]
    cost_usd: float
    run_ids: tuple[str, ...]

    @property
    def attempts(self) -> int:
        """Return how often the planner was asked."""
        return len(self.run_ids)


class Asks(Protocol):
    """Whatever publishes a request and waits for its answer."""

    def __call__(self, message: str, *, agent: str, goal: str) -> Awaitable[Answer]:
        """Ask."""
        ...


class Planning:
    """One conversation with the planner."""

    def __init__(self, call: Callable[[str, Message], Awaitable[bytes]], ask: Asks, *, goal: str) -> None:
        self._call = call
        self._ask = ask
        self._goal = goal
        self._answers: list[Answer] = []

    async def plan(self, problem: str, *, budget_usd: float | None, repairs: int) -> PlannedWorkflow:
        """Return a plan that could run.

        Raises:
            InvalidMessage: the problem is empty, or the budget or number of repairs makes no sense.
            PlanFailed: there is none after so many repairs, or within the budget.
        """
        if not problem.strip() or not 0 <= repairs <= MOST_REPAIRS or (budget_usd is not None and budget_usd <= 0):
            message = f"A plan needs a problem, a budget above 0 and 0 to {MOST_REPAIRS} repairs. Nothing was asked."
            raise InvalidMessage(message)
        text: str | None = None
        found: Sequence[Problem] = ()
        for _ in range(1 + repairs):
            self._check_budget(budget_usd, found)
            text = await self._attempt(problem, text)
            checked = await self._read(text)
            found = [row.problem() for row in checked.problems]
            if checked.workflow is not None and not found:
                advice = tuple(row.problem() for row in checked.advice)
                return PlannedWorkflow(checked.workflow, advice, self._spent, self._run_ids)
        raise PlanFailed(f"The planner was asked {len(self._answers)} times and its plan cannot run:\n{_listed(found)}")

    @property
    def _spent(self) -> float:
        return sum(answer.cost_usd for answer in self._answers)

    @property
    def _run_ids(self) -> tuple[str, ...]:
        return tuple(answer.run_id for answer in self._answers)

    def _check_budget(self, budget_usd: float | None, found: Sequence[Problem]) -> None:
        """A repair says more than the attempt before it; twice the dearest so far is room enough."""
        dearest = max((answer.cost_usd for answer in self._answers), default=0.0)
        if budget_usd is not None and self._spent + 2 * dearest > budget_usd:
            raise PlanFailed(
                f"Planning cost ${self._spent:.6f} and a repair could pass the ${budget_usd:g} allowed; "
                f"raise --budget. What is wrong with the plan:\n{_listed(found)}"
            )

    async def _attempt(self, problem: str, last: str | None) -> str:
        prompt = PlanPrompt(problem=problem, goal=self._goal, answer=last)
        task = PlannerTask.decode(await self._call("workflows.plan_prompt", prompt))
        answer = await self._ask(task.message, agent=task.agent_id, goal=self._goal)
        self._answers.append(answer)
        if not answer.ok:
            reason = answer.error.message if answer.error else "no reason was given."
            raise PlanFailed(f"The planner's run {answer.run_id} {answer.status}: {reason}")
        return (answer.answer or "")[:MAX_PLAN_TEXT]

    async def _read(self, text: str) -> Checked:
        return Checked.decode(await self._call("workflows.read_plan", ReadPlan(answer=text, goal=self._goal)))


def _listed(found: Sequence[Problem]) -> str:
    return "\n".join(f"- {problem}" for problem in found[:20]) or "- nothing is known of it yet."
