"""A bed whose requests are served by what was learnt, without a platform: the engine's own law over the bed's tools."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta

from support.learning_bed.bed import Bed
from support.learning_bed.database import Changes, Desk
from support.learning_bed.offline import Offline, OfflineRun
from support.learning_bed.requests import BedRequest
from support.learning_bed.world import Ask, World
from support.runs import NOW, RUN, envelope

from evolvent.events.errors import Category, ErrorInfo
from evolvent.events.language.decisions import decide
from evolvent.events.language.learning.induced import NotLearnt
from evolvent.events.language.learning.learner import LearningRules, Memory, Proposal, propose_all
from evolvent.events.language.learning.library import Library, Served
from evolvent.events.language.learning.matching import Abstained
from evolvent.events.language.learning.signature_store import SignatureStore
from evolvent.events.language.learning.templates import compile_small_talk
from evolvent.events.language.reducer import reduce
from evolvent.events.language.state import RunState, RunStatus
from evolvent.events.language.steps import CallTool
from evolvent.events.language.ticks import Stamp, Tick, compose
from evolvent.events.language.tools import ToolSpec
from evolvent.events.messages.requests import Request
from evolvent.events.messages.runs import RoutingDecision, ServedBy, ToolOutcome, ToolRecord, WorkflowStarted
from evolvent.events.subjects import Priority


@dataclass
class Tally:
    """What came of the requests."""

    served: int = 0
    wrong: int = 0
    agent: int = 0
    agent_wrong: int = 0
    deoptimized: int = 0
    helped: int = 0
    """Requests whose last step is left to the agent: it does it, with what was read."""
    tokens_all: int = 0
    tokens_spent: int = 0
    wrong_ones: list[str] = field(default_factory=list)
    reasons: Counter[str] = field(default_factory=Counter)

    @property
    def saved(self) -> float:
        """The share of the tokens that were not spent."""
        return 1 - self.tokens_spent / self.tokens_all if self.tokens_all else 0.0


@dataclass
class ServingBed:
    """Serves a bed's requests in order: by automations where they are sure, else by the agent, and learns from that."""

    bed: Bed
    rules: LearningRules = field(default_factory=lambda: LearningRules(window=timedelta(days=3650)))
    learn_every: int = 10
    may_ignore: bool = False
    """Whether requests are served in which some value is looked at by nothing: this shop's policy."""
    store: SignatureStore = field(default_factory=SignatureStore)
    library: Library = field(default_factory=lambda: Library.of(()))
    proposals: dict[str, Proposal] = field(default_factory=dict)
    refusals: dict[str, str] = field(default_factory=dict)
    memory: Memory = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.offline = Offline(self.bed.world, self.bed.agent, agent_id=f"bed_{self.bed.world.name}")

    @property
    def scope(self) -> tuple[str, str]:
        return "default", self.offline.agent_id

    def learn(self) -> None:
        """Do what the scheduled learner does."""
        tools = {name: tool.spec for name, tool in self.bed.world.tools.items()}
        dirty, now = self.store.take_dirty(), self.offline.now
        found = propose_all(self.store, dirty, self.rules, now=now, tools=tools, memory=self.memory)
        for signature, each in found.items():
            if isinstance(each, NotLearnt):
                self.proposals.pop(signature, None)
                self.refusals[signature] = each.reason
            else:
                self.proposals[signature] = each
                self.refusals.pop(signature, None)
        small = compile_small_talk(self.store, self.scope)
        self.library = Library.of([each.automation for each in self.proposals.values()], small)

    def run(self, requests: Iterator[BedRequest] | None = None, *, is_learning: bool = True) -> Tally:
        """Serve requests, those of the bed by default."""
        tally = Tally()
        for number, request in enumerate(requests or iter(self.bed.requests), start=1):
            self.serve(request, tally, is_learning=is_learning)
            if is_learning and number % self.learn_every == 0:
                self.learn()
        return tally

    def serve(self, request: BedRequest, tally: Tally, *, is_learning: bool = True) -> None:
        """Serve one request."""
        by_agent = self.offline.run(request)
        tally.tokens_all += by_agent.trace.tokens
        found = self.library.serve(request.text, self.scope, may_ignore=self.may_ignore)
        if isinstance(found, Abstained):
            tally.reasons[found.reason[:60]] += 1
            self._by_agent(by_agent, tally, is_learning=is_learning)
            return
        if any(each.open_tools for each in found.automations):
            tally.helped += 1
            self._by_agent(by_agent, tally, is_learning=is_learning)
            return
        outcome = play(self.bed.world, self.offline.desk, found, request.text)
        if outcome is None:
            tally.deoptimized += 1
            self._by_agent(by_agent, tally, is_learning=is_learning)
            return
        tally.served += 1
        changes, answer = outcome
        judged = self.bed.judge(request, changes, answer)
        if not judged.is_right:
            tally.wrong += 1
            tally.wrong_ones.append(f"{request.request_id}: {request.text} -> {judged.reason}")
        if answer is None:
            tally.tokens_spent += 200

    def _by_agent(self, run: OfflineRun, tally: Tally, *, is_learning: bool) -> None:
        tally.agent += 1
        tally.agent_wrong += not run.is_right
        tally.tokens_spent += run.trace.tokens
        if is_learning:
            self.store.add(run.trace)


def play(world: World, desk: Desk, served: Served, message: str) -> tuple[Changes, str | None] | None:
    """Carry out what automations would do; None where it came to the agent. No answer is one that a model words."""
    run_id = "played"
    tools: dict[str, ToolSpec] = {name: tool.spec for name, tool in world.tools.items()}
    state = reduce(RunState(RUN), _started(served, message), 1)
    sequence = 1
    try:
        while state.status is RunStatus.RUNNING and state.deoptimized is None:
            decision = decide(state, tools)
            calls = [each for each in decision.activities if isinstance(each, CallTool)]
            if not calls and not decision.claims and decision.finish is None:
                break
            tick = (
                Tick(tools=[_called(world, desk, run_id, state, calls[0], sequence)])
                if calls and not decision.claims
                else Tick()
            )
            sequence += 1
            event = compose(state, tick, tools, Stamp(f"e{sequence}", "bed", NOW))
            assert event is not None
            state = reduce(state, event, sequence)  # type: ignore[arg-type]
        if state.deoptimized is not None or state.status in (RunStatus.FAILED, RunStatus.SUSPENDED):
            return None
        output = state.tasks["answer"].output
        return desk.changes(world.name, run_id), output if isinstance(output, str) else None
    finally:
        desk.forget(world.name, run_id)


def _started(served: Served, message: str) -> WorkflowStarted:
    return WorkflowStarted(
        **envelope(),
        request=Request(message=message),
        goal="default",
        priority=Priority.MEDIUM,
        routing=RoutingDecision(served_by=ServedBy.AUTOMATION, chosen=served.workflow.name, reason="bed"),
        workflow=served.workflow,
        parameters=served.params,
        deadline_at=NOW + timedelta(hours=1),
    )


def _called(world: World, desk: Desk, run_id: str, state: RunState, step: CallTool, number: int) -> ToolRecord:
    call = next(c.call for c in state.tasks[step.task_id].calls if c.call.call_id == step.call_id)
    seen = world.call(desk, run_id, Ask(call.name, call.arguments or {}), step=number)
    error = None
    if seen.error is not None:
        error = ErrorInfo(code=seen.error, category=Category.TOOL, message=seen.message)
    return ToolRecord(
        task_id=step.task_id,
        call_id=step.call_id,
        name=call.name,
        effect=step.effect,
        arguments=call.arguments or {},
        outcome=ToolOutcome.OK if error is None else ToolOutcome.ERROR,
        result=seen.result,
        error=error,
        started_at=NOW,
    )
