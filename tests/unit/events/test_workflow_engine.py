from __future__ import annotations

from datetime import timedelta
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from support.runs import AGENT, NOW, RUN, envelope, resumed
from support.simulation import Simulation, failure

from evolvent.events.language.prompt import conversation, monolith_bytes, opening
from evolvent.events.language.reducer import fold
from evolvent.events.language.state import RunStatus, TaskStatus, dump_state, load_state
from evolvent.events.language.steps import TakeTurn
from evolvent.events.language.workflow import ApprovalPolicy, ExecutionMode, Task, TaskKind, Workflow
from evolvent.events.messages.requests import Request
from evolvent.events.messages.runs import ApprovalGiven, Deoptimized, SuspendReason, WorkflowSuspended

MODES = st.sampled_from([ExecutionMode.SEQUENTIAL, ExecutionMode.PARALLEL, ExecutionMode.ADAPTIVE])


def look(task_id: str, *needs: str, **more: Any) -> Task:
    arguments = {"inputs": [f"${{tasks.{name}.output.of}}" for name in needs]}
    fields: dict[str, Any] = {"tool": "look", "arguments": arguments, **more}
    return Task(task_id=task_id, kind=TaskKind.TOOL, dependencies=needs, **fields)


def ask(task_id: str, *needs: str, **more: Any) -> Task:
    return Task(task_id=task_id, agent_id=AGENT.agent_id, dependencies=needs, **more)


def flow(*tasks: Task, **more: Any) -> Workflow:
    return Workflow(name="w", tasks=tasks, **more)


@st.composite
def dags(draw: st.DrawFn) -> Workflow:
    count = draw(st.integers(1, 9))
    tasks = []
    for number in range(count):
        needs = (
            draw(st.lists(st.sampled_from([f"t{n}" for n in range(number)]), unique=True, max_size=3)) if number else []
        )
        tool = draw(st.sampled_from(["look", "look", "post"]))
        tasks.append(look(f"t{number}", *needs, tool=tool))
    return flow(*draw(st.permutations(tasks)), mode=draw(MODES), max_parallel_tasks=draw(st.integers(1, 4)))


@given(dags(), st.integers(0, 1000))
def test_every_mode_runs_every_task_once_after_what_it_needs_and_within_its_cap(workflow: Workflow, seed: int) -> None:
    run = Simulation(workflow, seed)
    state = run.run()
    assert state.status is RunStatus.COMPLETED
    assert sorted(run.order) == sorted(task.task_id for task in workflow.tasks)
    place = {name: index for index, name in enumerate(run.order)}
    assert all(place[need] < place[task.task_id] for task in workflow.tasks for need in task.dependencies)
    assert run.most_at_once <= (1 if workflow.mode is ExecutionMode.SEQUENTIAL else workflow.max_parallel_tasks)


@given(dags(), MODES, st.integers(0, 1000))
def test_all_modes_give_the_same_results(workflow: Workflow, mode: ExecutionMode, seed: int) -> None:
    first = Simulation(workflow, 0).run()
    second = Simulation(workflow.model_copy(update={"mode": mode}), seed).run()
    assert {n: t.output for n, t in first.tasks.items()} == {n: t.output for n, t in second.tasks.items()}


@given(dags(), st.frozensets(st.integers(0, 30), max_size=6), st.integers(0, 1000))
def test_crashing_anywhere_and_going_on_gives_the_same_end(
    workflow: Workflow, crashes: frozenset[int], seed: int
) -> None:
    whole = Simulation(workflow, seed).run()
    torn = Simulation(workflow, seed).run(crashes_at=crashes)
    assert {n: (t.status, t.output) for n, t in whole.tasks.items()} == {
        n: (t.status, t.output) for n, t in torn.tasks.items()
    }


@given(dags(), st.integers(0, 12))
def test_a_state_that_was_written_and_read_goes_on_as_if_nothing_had_been(workflow: Workflow, steps: int) -> None:
    run = Simulation(workflow)
    for _ in range(steps):
        if run.state.status is RunStatus.RUNNING:
            run.step()
    again = load_state(dump_state(run.state))
    assert (again.missing, list(again.active), again.left) == (
        run.state.missing,
        [n for n in again.tasks if n in run.state.active],
        run.state.left,
    )


def test_sequential_goes_in_order_of_definition() -> None:
    run = Simulation(flow(look("a"), look("b"), look("c", "a"), look("d"), mode=ExecutionMode.SEQUENTIAL))
    run.run()
    assert run.order == ["a", "b", "c", "d"]


def test_adaptive_lets_the_critical_path_go_first() -> None:
    short, long = look("short", estimated_duration_seconds=1), look("long", estimated_duration_seconds=9)
    run = Simulation(flow(short, long, look("after", "long"), mode=ExecutionMode.ADAPTIVE, max_parallel_tasks=1))
    run.run()
    assert run.order == ["long", "after", "short"]


def test_a_sequential_task_goes_alone() -> None:
    alone = look("alone", mode=ExecutionMode.SEQUENTIAL)
    run = Simulation(flow(look("a"), alone, look("b")))
    seen: list[set[str]] = []
    while run.state.status is RunStatus.RUNNING:
        run.step()
        seen.append({a.task_id for a in run.in_flight})
    assert all(names == {"alone"} or "alone" not in names for names in seen if names)
    assert set(run.order) == {"a", "alone", "b"}


def test_arguments_are_bound_when_a_task_begins_and_the_output_is_an_expression() -> None:
    first = look("first", arguments={"n": "${params.n}"})
    second = look("second", "first", arguments={"got": "${tasks.first.output.given.n}", "say": "n=${context.n}"})
    workflow = flow(first, second, output={"told": "${tasks.second.output.given}"}, context={"n": 1})
    run = Simulation(workflow, started_with={"parameters": {"n": 7}, "request": Request(message="m", context={"n": 2})})
    run.run()
    assert run.events[-1].output == {"told": {"got": 7, "say": "n=2"}}  # type: ignore[attr-defined]


def test_a_reference_that_leads_nowhere_fails_its_task_by_name_and_the_rest_is_kept() -> None:
    lost = look("lost", "a", arguments={"x": "${tasks.a.output.nothing.here}"})
    run = Simulation(flow(look("a"), lost, look("after", "lost"), look("other")))
    state = run.run()
    last = run.events[-1]
    assert last.type == "workflow_failed"
    assert "'lost'" in last.error.message and "nothing" in last.error.message  # type: ignore[attr-defined]
    assert set(last.output) == {"a", "other"}  # type: ignore[attr-defined]
    assert last.success_rate == 0.5  # type: ignore[attr-defined]
    assert state.tasks["after"].status is TaskStatus.SKIPPED


def test_a_tool_task_is_tried_again_as_often_as_it_says() -> None:
    tries: list[str] = []

    def flaky(task_id: str, _: Any) -> Any:
        tries.append(task_id)
        return failure(retryable=True) if len(tries) < 3 else "fine"

    run = Simulation(flow(look("a", retry_count=3)), answer=flaky)
    assert run.run().status is RunStatus.COMPLETED
    assert len(tries) == 3
    tries.clear()
    run = Simulation(flow(look("a", retry_count=1)), answer=flaky)
    assert run.run().status is RunStatus.FAILED


def test_an_error_that_is_final_is_not_tried_again() -> None:
    run = Simulation(flow(look("a", retry_count=5)), answer=lambda *_: failure())
    run.run()
    assert run.order == ["a"]


def test_transformations_work_on_the_output_and_their_errors_name_the_task() -> None:
    keep = {"type": "filter", "criteria": {"n": {"greater_than": 1}}}
    task = Task.model_validate({**look("a").model_dump(), "transformations": [keep]})
    run = Simulation(flow(task), answer=lambda *_: [{"n": 1}, {"n": 2}])
    run.run()
    assert run.state.tasks["a"].output == [{"n": 2}]
    bad = Simulation(flow(task), answer=lambda *_: 7)
    bad.run()
    assert "'a'" in bad.events[-1].error.message  # type: ignore[attr-defined]


def test_an_agents_json_is_data_in_a_workflow() -> None:
    run = Simulation(
        flow(ask("a"), look("b", "a", arguments={"s": "${tasks.a.output.status}"})),
        answer=lambda name, given: '```json\n{"status": "ok"}\n```' if name == "a" else given,
    )
    run.run()
    assert run.state.tasks["b"].output == {"s": "ok"}


def test_a_task_is_told_its_job_its_context_and_its_dependencies_and_nothing_else() -> None:
    tasks = (ask("a", instructions="do a", context_requirements=("x",)), ask("b", "a", instructions="do b"), ask("c"))
    run = Simulation(flow(*tasks), started_with={"request": Request(message="why?", context={"x": 1, "y": 2})})
    told = opening(run.state, run.state.tasks["a"])
    assert "do a" in told and "why?" in told and '"x": 1' in told
    assert "do b" not in told and '"y"' not in told
    assert monolith_bytes(run.state) > len("do a" + "do b" + "why?")


def test_a_compute_task_takes_no_time_and_no_event() -> None:
    sums = Task(task_id="sum", kind=TaskKind.COMPUTE, arguments={"output": "${tasks.a.output.of}"}, dependencies=("a",))
    run = Simulation(flow(look("a"), sums, look("b", "sum", arguments={"v": "${tasks.sum.output}"})))
    run.run()
    assert run.order == ["a", "b"]
    assert run.state.tasks["b"].output["given"] == {"v": "a"}


def test_the_fallback_takes_over_when_the_workflow_fails_and_what_was_done_stays_known() -> None:
    workflow = flow(look("a"), look("b", "a"))
    fallback = flow(look("fallback/x", arguments={"from": "${tasks.a.output.of}"}))
    answer = lambda name, given: failure() if name == "b" else {"of": name, "given": dict(given)}  # noqa: E731
    run = Simulation(workflow, answer=answer, started_with={"fallback": fallback})
    assert run.run().status is RunStatus.COMPLETED
    assert [e.to for e in run.events if isinstance(e, Deoptimized)] == ["fallback"]
    assert run.state.tasks["fallback/x"].output["given"] == {"from": "a"}


def test_the_takeover_agent_goes_on_with_the_reads_that_were_made() -> None:
    workflow = flow(look("a"), look("b", "a", arguments={}), takeover=ask("agent", is_primed=True))
    run = Simulation(workflow, answer=lambda name, _: failure() if name == "b" else f"read {name}")
    assert run.run().status is RunStatus.COMPLETED
    assert [e.to for e in run.events if isinstance(e, Deoptimized)] == ["takeover"]
    messages = conversation(run.state, run.state.tasks["agent"])
    assert [m.role for m in messages][:4] == ["user", "assistant", "tool", "tool"]
    assert messages[2].content == "read a"
    assert run.events[-1].answer == "read agent"  # type: ignore[attr-defined]


def test_an_agent_that_began_with_all_that_is_known_and_failed_is_followed_by_no_other() -> None:
    workflow = flow(look("a"), ask("answer", "a", is_primed=True), takeover=ask("agent", is_primed=True))
    run = Simulation(workflow, answer=lambda name, _: failure() if name == "answer" else f"read {name}")
    assert run.run().status is RunStatus.FAILED
    assert not [e for e in run.events if isinstance(e, Deoptimized)]
    messages = conversation(run.state, run.state.tasks["answer"])
    assert [(m.role, m.content) for m in messages][2:] == [("tool", "read a")]
    assert "read a" not in (messages[0].content or "")


class TestApproval:
    def workflow(self, **policy: Any) -> Workflow:
        gate = Task(task_id="gate", kind=TaskKind.APPROVAL, approval=ApprovalPolicy(prompt="Pay?", **policy))
        return flow(gate, look("pay", "gate", arguments={}), look("other"))

    def answered(self, run: Simulation, *, approved: bool, principal: str = "anonymous") -> None:
        said = ApprovalGiven(**envelope(50), approved=approved, principal=principal, prev_seq=run.state.last_seq)
        run.add(said)
        run.add(resumed(run.state))

    def test_the_run_waits_once_nothing_else_can_go_on_and_holds_nothing(self) -> None:
        run = Simulation(self.workflow())
        state = run.run()
        waiting = run.events[-1]
        assert isinstance(waiting, WorkflowSuspended)
        assert (waiting.reason, state.tasks["other"].status) == (SuspendReason.APPROVAL, TaskStatus.DONE)
        assert "Pay?" in waiting.detail and "runs approve" in waiting.detail
        assert waiting.wake_at is not None

    def test_a_yes_lets_it_go_on(self) -> None:
        run = Simulation(self.workflow())
        run.run()
        self.answered(run, approved=True)
        assert run.run().status is RunStatus.COMPLETED
        assert run.state.tasks["gate"].output["approved"] is True

    def test_a_no_ends_what_hangs_on_it(self) -> None:
        run = Simulation(self.workflow())
        run.run()
        self.answered(run, approved=False)
        assert run.run().status is RunStatus.FAILED
        assert run.events[-1].error.code == "approval.denied"  # type: ignore[attr-defined]
        assert "pay" not in run.order

    def test_only_those_who_are_named_may_answer(self) -> None:
        run = Simulation(self.workflow(approvers=("alice",)))
        run.run()
        self.answered(run, approved=True, principal="mallory")
        assert run.run().status is RunStatus.SUSPENDED
        self.answered(run, approved=True, principal="alice")
        assert run.run().status is RunStatus.COMPLETED

    def test_silence_means_what_the_policy_says_and_counts_from_the_first_question(self) -> None:
        for policy, status in (("deny", RunStatus.FAILED), ("approve", RunStatus.COMPLETED)):
            run = Simulation(self.workflow(timeout_seconds=60, on_timeout=policy))
            run.run()
            early = resumed(run.state).model_copy(update={"occurred_at": NOW + timedelta(seconds=30)})
            run.add(early)
            assert run.run().status is RunStatus.SUSPENDED
            late = resumed(run.state).model_copy(update={"occurred_at": NOW + timedelta(seconds=90)})
            run.add(late)
            assert run.run().status is status

    def test_it_survives_the_loss_of_its_journal(self) -> None:
        run = Simulation(self.workflow())
        run.run()
        waiting = run.events[-1]
        assert isinstance(waiting, WorkflowSuspended)
        said = ApprovalGiven(**envelope(50), approved=True, prev_seq=9)
        again = resumed(run.state).model_copy(update={"state": waiting.state})
        state = fold(RUN, [(9, said), (10, again)])
        assert state.tasks["gate"].status is TaskStatus.DONE
        assert "pay" in state.active


class TestPipeline:
    def workflow(self, **more: Any) -> Workflow:
        source = look("source", arguments={})
        stages = [
            look("clean", "source", arguments={"item": "${item}"}),
            look("load", "clean", arguments={"item": "${item}"}),
        ]
        return flow(source, *stages, mode=ExecutionMode.PIPELINE, **more)

    def answer(self, name: str, given: Any) -> Any:
        return list(range(12)) if name == "source" else {"by": name.partition("[")[0], "of": given.get("item")}

    @settings(max_examples=30)
    @given(st.integers(0, 1000), st.frozensets(st.integers(0, 40), max_size=4))
    def test_items_flow_one_by_one_and_the_output_is_the_list(self, seed: int, crashes: frozenset[int]) -> None:
        run = Simulation(self.workflow(), seed, answer=self.answer)
        state = run.run(crashes_at=crashes)
        assert state.status is RunStatus.COMPLETED
        assert [item["of"]["of"] for item in state.tasks["load"].output] == list(range(12))
        assert state.tasks["clean"].output[3] == {"by": "clean", "of": 3}

    def test_a_slow_stage_holds_back_the_one_before_it_and_nothing_else(self) -> None:
        run = Simulation(self.workflow(), answer=self.answer)
        while run.state.status is RunStatus.RUNNING and len(run.order) < 40:
            slow = [a for a in run.in_flight if a.task_id.startswith("load")]
            run.in_flight = [a for a in run.in_flight if a not in slow]
            before = len(run.events)
            if not run.in_flight and slow and len(run.order) > 9:
                break
            run.step()
            run.in_flight += slow
            assert len(run.events) > before
        begun = run.state.tasks["clean"].stage.begun  # type: ignore[union-attr]
        over = run.state.tasks["load"].stage.over  # type: ignore[union-attr]
        assert begun - over <= 8

    def test_a_failed_item_fails_its_stage_and_leaves_the_others(self) -> None:
        answer = lambda name, given: failure() if name == "clean[2]" else self.answer(name, given)  # noqa: E731
        run = Simulation(self.workflow(), answer=answer)
        state = run.run()
        assert state.status is RunStatus.FAILED
        assert state.tasks["load[3]"].status is TaskStatus.DONE
        assert state.tasks["load[2]"].status is TaskStatus.SKIPPED

    def test_an_empty_list_makes_an_empty_list(self) -> None:
        run = Simulation(self.workflow(), answer=lambda *_: [])
        run.run()
        assert run.state.tasks["load"].output == []


def test_an_adaptive_workflow_may_hold_a_streaming_task() -> None:
    tasks = (look("s", arguments={}), look("p", "s", mode=ExecutionMode.PIPELINE, arguments={"i": "${item}"}))
    others = tuple(look(f"o{n}", "s", arguments={}) for n in range(4))
    run = Simulation(
        flow(*tasks, *others, mode=ExecutionMode.ADAPTIVE, max_parallel_tasks=1), answer=lambda name, _: [1, 2]
    )
    assert run.run().status is RunStatus.COMPLETED


def test_a_task_that_has_begun_keeps_its_place() -> None:
    run = Simulation(flow(ask("a"), ask("b"), max_parallel_tasks=1))
    run.step()
    assert run.order == ["a"]
    assert run.in_flight == [] or isinstance(run.in_flight[0], TakeTurn)
