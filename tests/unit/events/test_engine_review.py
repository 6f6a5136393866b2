"""What a review of the workflow engine found: takeovers with effects under way, hostile documents, several answers."""

from __future__ import annotations

from typing import Any

import pytest
from support.runs import AGENT, RUN, Script, done, envelope, resumed, started
from support.simulation import TOOLS, Simulation, failure

from evolvent.events.errors import Category, ErrorInfo
from evolvent.events.language.decisions import decide
from evolvent.events.language.prompt import conversation
from evolvent.events.language.reducer import fold
from evolvent.events.language.state import Refusal, RunStatus, TaskStatus, dump_state, load_state
from evolvent.events.language.steps import CallTool
from evolvent.events.language.ticks import Tick
from evolvent.events.language.workflow import ApprovalPolicy, ExecutionMode, Task, TaskKind, Workflow
from evolvent.events.messages.runs import ApprovalGiven, SuspendReason, ToolOutcome, ToolRecord


def tool(task_id: str, *needs: str, name: str = "look", **more: Any) -> Task:
    return Task(task_id=task_id, kind=TaskKind.TOOL, tool=name, dependencies=needs, **more)


def ask(task_id: str, *needs: str, **more: Any) -> Task:
    return Task(task_id=task_id, agent_id=AGENT.agent_id, dependencies=needs, **more)


def compute(task_id: str, output: Any, *needs: str) -> Task:
    return Task(task_id=task_id, kind=TaskKind.COMPUTE, arguments={"output": output}, dependencies=needs)


def flow(*tasks: Task, **more: Any) -> Workflow:
    return Workflow(name="w", tasks=tasks, **more)


def record(task_id: str, name: str, result: Any, *, outcome: ToolOutcome = ToolOutcome.OK) -> ToolRecord:
    said = done(task_id, "look", outcome=outcome, result=result)
    return said.model_copy(update={"task_id": task_id, "name": name})


class TestTakeover:
    """A guard or a failure hands the run to an agent while a keyed call is under way."""

    def run(self, name: str = "post") -> Simulation:
        workflow = flow(tool("bad"), tool("effect", name=name), tool("idle"), takeover=ask("agent", is_primed=True))
        run = Simulation(workflow)
        run.say(Tick())  # the claim
        run.in_flight = list(decide(run.state, TOOLS, run.going()).activities)
        ending = record("bad", "look", None, outcome=ToolOutcome.ERROR).model_copy(update={"error": failure()})
        run.in_flight = [a for a in run.in_flight if a.task_id == "effect"]
        run.say(Tick(tools=[ending]))
        assert run.events[-1].type == "deoptimized"
        return run

    def test_the_agent_begins_after_the_claimed_call_is_told_and_knows_of_it(self) -> None:
        run = self.run()
        assert run.state.tasks["idle"].status is TaskStatus.SKIPPED
        assert [a.task_id for a in decide(run.state, TOOLS, run.going()).activities] == ["effect"]
        run.in_flight = []
        run.say(Tick(tools=[record("effect", "post", "posted")]))
        assert [a.task_id for a in decide(run.state, TOOLS).activities] == ["agent"]
        told = conversation(run.state, run.state.tasks["agent"])
        assert "posted" in [message.content for message in told]
        assert run.run().status is RunStatus.COMPLETED

    def test_a_new_owner_makes_the_keyed_call_known_before_the_agent_begins(self) -> None:
        run = self.run()
        run.crash()
        (call,) = decide(run.state, TOOLS).activities
        assert isinstance(call, CallTool) and call.idempotency_key is not None
        again = load_state(dump_state(run.state))
        assert decide(again, TOOLS).activities == (call,)
        assert run.run().status is RunStatus.COMPLETED
        assert run.state.tasks["effect"].status is TaskStatus.DONE

    def test_a_call_that_failed_is_not_tried_again_for_a_workflow_that_was_left(self) -> None:
        run = self.run()
        run.in_flight = []
        lost = record("effect", "post", None, outcome=ToolOutcome.ERROR)
        run.say(Tick(tools=[lost.model_copy(update={"error": failure(retryable=True)})]))
        assert [a.task_id for a in decide(run.state, TOOLS).activities] == ["agent"]
        assert run.run().status is RunStatus.COMPLETED

    def test_a_fallback_after_a_failed_takeover_is_a_workflow_of_its_own(self) -> None:
        fallback = flow(tool("fallback/x"), tool("fallback/y"), takeover=ask("fallback/agent"))
        workflow = flow(tool("bad"), takeover=ask("agent"))
        answer = lambda name, _: failure() if name in ("bad", "agent") else f"did {name}"  # noqa: E731
        run = Simulation(workflow, answer=answer, started_with={"fallback": fallback})
        assert run.run().status is RunStatus.COMPLETED
        assert run.events[-1].output == {"fallback/x": "did fallback/x", "fallback/y": "did fallback/y"}  # type: ignore[attr-defined]


class TestSizes:
    @pytest.mark.parametrize("doubled", [["${tasks.%s.output}"] * 2, "${tasks.%s.output}${tasks.%s.output}"])
    def test_outputs_that_double_each_other_end_at_a_limit_and_not_at_the_end_of_memory(self, doubled: Any) -> None:
        def twice(name: str) -> Any:
            return [part % name for part in doubled] if isinstance(doubled, list) else doubled % (name, name)

        tasks = [compute("t0", "xxxxxxxx")]
        tasks += [compute(f"t{n}", twice(f"t{n - 1}"), f"t{n - 1}") for n in range(1, 60)]
        run = Simulation(flow(*tasks))
        assert run.run().status is RunStatus.FAILED
        assert run.events[-1].error.code == "task.too_large"  # type: ignore[attr-defined]

    def test_a_stage_takes_no_more_items_than_a_run_can_hold(self) -> None:
        workflow = flow(tool("source"), tool("each", "source"), mode=ExecutionMode.PIPELINE)
        run = Simulation(workflow, answer=lambda *_: [0] * 100_000)
        assert run.run().status is RunStatus.FAILED
        assert run.events[-1].error.code == "task.items"  # type: ignore[attr-defined]

    def test_a_pipeline_may_be_as_deep_as_a_workflow_is_long(self) -> None:
        names = [f"s{n}" for n in range(1200)]
        stages = [tool(name, *names[max(0, n - 1) : n]) for n, name in enumerate(names)]
        run = Simulation(flow(*stages, mode=ExecutionMode.PIPELINE), answer=lambda *_: [])
        assert run.run().status is RunStatus.COMPLETED


class TestRefusal:
    def refused(self, policy: str) -> Simulation:
        run = Simulation(flow(ask("a"), tool("b"), ask("c")))
        run.in_flight = [a for a in decide(run.state, TOOLS).activities if a.task_id == "b"]
        error = ErrorInfo(code="budget.exceeded", category=Category.RESOURCE, message="no money")
        # The resource manager names its cheaper model whatever the policy of the goal is.
        run.refusal = Refusal("a", error, policy, "small")  # type: ignore[attr-defined]
        return run

    @pytest.mark.parametrize("policy", ["queue", "ask", "stop"])
    def test_only_the_policy_of_the_cheaper_model_changes_a_model(self, policy: str) -> None:
        run = self.refused(policy)
        refusal = run.refusal  # type: ignore[attr-defined]
        activity = run.in_flight.pop()
        tick = run.tick_of(activity)
        tick.refusal = refusal
        run.say(tick)
        assert run.state.tasks["a"].model is None
        assert run.state.status in (RunStatus.SUSPENDED, RunStatus.FAILED)

    def test_the_cheaper_model_is_for_the_task_that_was_refused(self) -> None:
        run = self.refused("cheaper_model")
        run.say(Tick(refusal=run.refusal))  # type: ignore[attr-defined]
        assert (run.state.tasks["a"].model, run.state.tasks["c"].model) == ("small", None)
        assert run.run().status is RunStatus.COMPLETED


class TestAnswers:
    def gates(self) -> Simulation:
        asks = [
            Task(task_id=name, kind=TaskKind.APPROVAL, approval=ApprovalPolicy(approvers=who))
            for name, who in (("one", ("alice",)), ("two", ("bob",)))
        ]
        run = Simulation(flow(*asks, tool("after", "one", "two")))
        assert run.run().status is RunStatus.SUSPENDED
        return run

    def said(self, run: Simulation, who: str, **more: Any) -> None:
        run.add(ApprovalGiven(**envelope(50), approved=True, principal=who, prev_seq=run.state.last_seq, **more))

    def test_answers_that_come_before_the_run_goes_on_all_count(self) -> None:
        run = self.gates()
        self.said(run, "alice")
        self.said(run, "bob", task_id="two")
        run.add(resumed(run.state))
        assert run.run().status is RunStatus.COMPLETED
        assert [run.state.tasks[n].output["by"] for n in ("one", "two")] == ["alice", "bob"]

    def test_answers_outlive_the_journal(self) -> None:
        run = self.gates()
        kept = run.events[-1].state  # type: ignore[attr-defined]
        said = [
            ApprovalGiven(**envelope(50), approved=True, principal="alice"),
            ApprovalGiven(**envelope(51), approved=False, principal="bob"),
        ]
        again = resumed(run.state).model_copy(update={"state": kept})
        state = fold(RUN, [(9, said[0]), (10, said[1]), (11, again)])
        assert state.tasks["one"].status is TaskStatus.DONE
        assert state.tasks["two"].status is TaskStatus.FAILED

    def test_an_approval_is_taken_from_a_run_that_waits_for_money(self) -> None:
        gate = Task(task_id="gate", kind=TaskKind.APPROVAL)
        run = Simulation(flow(gate, ask("a")))
        error = ErrorInfo(code="budget.exceeded", category=Category.RESOURCE, message="no money")
        run.say(Tick(refusal=Refusal("a", error, "queue")))
        self.said(run, "anonymous")
        run.add(resumed(run.state))
        assert run.state.tasks["gate"].status is TaskStatus.DONE

    def test_one_answer_settles_one_effect(self) -> None:
        run = Simulation(flow(tool("one", name="post"), tool("two", name="post")))
        run.say(Tick())
        lost = ToolOutcome.UNKNOWN
        for _ in range(3):
            run.say(Tick(tools=[record(name, "post", None, outcome=lost) for name in ("one", "two")]))
        assert run.state.suspend_reason is SuspendReason.OUTCOME_UNKNOWN
        self.said(run, "anonymous", outcome="happened", result="yes")
        run.add(resumed(run.state))
        assert (run.state.tasks["one"].output, run.state.tasks["two"].status) == ("yes", TaskStatus.RUNNING)
        assert run.run().status is RunStatus.SUSPENDED
        self.said(run, "anonymous", outcome="did_not_happen", task_id="two")
        run.add(resumed(run.state))
        assert run.run().status is RunStatus.COMPLETED

    def test_an_answer_from_before_the_run_answers_nothing(self) -> None:
        script = Script(ApprovalGiven(**envelope(1), approved=True))
        script.add(started(flow(Task(task_id="gate", kind=TaskKind.APPROVAL))))
        script.tick()
        script.add(resumed(script.state))
        assert script.state.tasks["gate"].status is TaskStatus.RUNNING
