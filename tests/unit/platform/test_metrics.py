"""Events in, samples out."""

from __future__ import annotations

from collections import Counter, defaultdict
from datetime import timedelta

import pytest
from support.metric_feed import (
    begun,
    completed,
    new_run,
    platform_events,
    run_events,
    slow_turn,
    stamp,
)
from support.runs import AGENT, NOW, done, envelope, started, turn

from evolvent.events.errors import Category, ErrorInfo
from evolvent.events.language.workflow import Task, TaskKind, Workflow
from evolvent.events.messages.platform import BY_TYPE
from evolvent.events.messages.runs import (
    AgentCompleted,
    RunEvent,
    ServedBy,
    ToolCompleted,
    Totals,
    WorkflowFailed,
    WorkflowResumed,
    read_run_event,
)
from evolvent.platform import metric_names as names
from evolvent.platform.metric_memory import BoundedLabels, Recent, RunMemory
from evolvent.platform.metric_names import METRICS, Kind, Metric, Sample
from evolvent.platform.metric_polls import instances
from evolvent.platform.metric_samples import of_platform_event, of_run_event
from evolvent.platform.metrics import Instruments

Sums = dict[Metric, dict[tuple[str, ...], float]]


def sums(samples: list[Sample]) -> Sums:
    found: Sums = defaultdict(Counter)
    for metric, labels, value in samples:
        found[metric][labels] += value  # type: ignore[assignment]
    return found


def counted(events: list[RunEvent], memory: RunMemory | None = None) -> Sums:
    memory = memory or RunMemory()
    samples: list[Sample] = []
    for event in events:
        if (note := memory.admit(event)) is not None:
            samples.extend(of_run_event(read_run_event(event.encode()), note))
    return sums(samples)


def test_a_workflow_tells_how_its_tasks_ended_how_long_they_took_and_what_its_agents_were_spared() -> None:
    tasks = (
        Task(task_id="look", kind=TaskKind.TOOL, tool="look"),
        Task(task_id="judge", agent_id=AGENT.agent_id, dependencies=("look",)),
        Task(task_id="write", agent_id=AGENT.agent_id, dependencies=("judge",)),
    )
    call = done("c0", "look").model_copy(update={"task_id": "look", "duration_seconds": 0.5})
    asks = turn(0, ("look", {}), task_id="judge").model_copy(update={"prompt_bytes": 100, "monolith_bytes": 400})
    last = turn(1, text="good", task_id="judge").model_copy(
        update={"started_at": NOW + timedelta(seconds=3), "duration_seconds": 1.0}
    )
    ended = {"goal": "default", "served_by": ServedBy.WORKFLOW, "success_rate": 2 / 3, "totals": Totals()}
    found = counted(
        [
            started(Workflow(name="report", tasks=tasks)),
            ToolCompleted(**envelope(1), tools=(call,)),
            AgentCompleted(**envelope(2), turns=(asks,)),
            AgentCompleted(**envelope(3), turns=(last,)),
            WorkflowFailed(**envelope(4), **ended, error=ErrorInfo(code="x", category=Category.SYSTEM, message="no")),
        ]
    )
    assert found[names.WORKFLOW_RUNS] == {("report", "failed"): 1}
    assert found[names.WORKFLOW_TASKS] == {("done",): 2, ("left",): 1}
    assert found[names.WORKFLOW_TASK_SECONDS] == {("tool",): 0.5, ("agent",): 4.0}
    assert found[names.WORKFLOW_PROMPT] == {("told",): 100, ("monolith",): 400}


def test_a_run_of_one_task_is_no_workflow() -> None:
    assert not {metric.name for metric in counted(run_events())} & {names.WORKFLOW_RUNS.name, names.WORKFLOW_TASKS.name}


def test_runs_are_counted_by_goal_status_priority_and_what_served_them() -> None:
    found = counted(run_events())
    assert found[names.RUNS_STARTED] == {("default", "high"): 1, ("default", "medium"): 2, ("support", "medium"): 1}
    assert found[names.RUNS_ENDED] == {
        ("default", "completed"): 2,
        ("support", "failed"): 1,
        ("default", "cancelled"): 1,
    }
    assert found[names.RUNS_SERVED] == {
        ("agent", "completed"): 1,
        ("automation", "completed"): 1,
        ("agent", "failed"): 1,
        ("agent", "cancelled"): 1,
    }
    assert found[names.RUN_SECONDS_HELD][("high",)] == 1.5
    assert found[names.RUN_COST] == {("agent",): pytest.approx(0.0021), ("automation",): pytest.approx(0.00005)}
    assert found[names.RUN_FAILURES] == {("network",): 1}
    assert found[names.RUNS_SCRIPTED] == {(): 1}
    assert found[names.RUNS_SUSPENDED] == {("approval",): 1}
    assert found[names.RUNS_RESUMED] == {("redelivered",): 1, ("approved",): 1}
    assert found[names.BUDGET_REFUSED] == {("budget.daily",): 1}
    assert found[names.DEOPTIMIZED] == {(): 1}


def test_a_replay_counts_neither_as_started_nor_as_served() -> None:
    assert counted(run_events())[names.RUNS_NOT_LIVE] == {("replay",): 1}


def test_turns_and_tools_ride_on_any_event_and_are_counted_by_the_model_that_was_asked_for() -> None:
    found = counted(run_events())
    assert found[names.MODEL_TURNS] == {("m", "ok"): 1, ("unknown", "error"): 1}
    assert found[names.MODEL_TOKENS] == {("m", "prompt"): 100, ("m", "completion"): 20, ("m", "cached"): 30}
    assert found[names.MODEL_SECONDS][("m",)] == 0.7
    assert found[names.MODEL_COST] == {("m",): pytest.approx(0.0007)}
    assert found[names.GOAL_COST] == {("default",): pytest.approx(0.0007)}
    assert found[names.TOOL_CALLS] == {("look", "ok"): 2, ("pay", "unknown"): 1}


def test_the_same_event_heard_twice_counts_once() -> None:
    events = run_events()
    assert counted(events + events) == counted(events)


def test_a_run_ends_once_though_two_owners_say_so() -> None:
    run = new_run()
    found = counted([begun(run), completed(run, turns=(slow_turn(1),)), completed(run, turns=(slow_turn(1),))])
    assert found[names.RUNS_ENDED] == {("default", "completed"): 1}
    assert found[names.MODEL_TURNS] == {("m", "ok"): 1}


def test_what_a_fenced_off_owner_says_is_not_counted() -> None:
    run = new_run()
    taken_over = WorkflowResumed(**stamp(run, attempt=2, owner="b"))
    also_tried = WorkflowResumed(**stamp(run, attempt=2, owner="c"))
    found = counted([begun(run), taken_over, also_tried, completed(run, attempt=1, turns=(slow_turn(1),))])
    assert found[names.RUNS_RESUMED] == {("redelivered",): 1}
    assert names.RUNS_ENDED not in found
    assert names.MODEL_TURNS not in found


def test_a_run_whose_beginning_was_missed_still_ends() -> None:
    found = counted([completed(new_run(), attempt=3)])
    assert found[names.RUNS_ENDED] == {("default", "completed"): 1}
    assert found[names.RUN_SECONDS_HELD] == {("unknown",): 1.5}


def test_every_kind_of_platform_event_is_counted() -> None:
    events = platform_events()
    assert {event.TYPE for event in events} == set(BY_TYPE)
    found = sums([sample for event in events for sample in of_platform_event(event)])
    assert set(found[names.PLATFORM_EVENTS]) == {(event_type,) for event_type in BY_TYPE}
    assert found[names.AGENTS_SPAWNED] == {("default",): 1}
    assert found[names.AGENTS_EVICTED] == {("idle",): 1}
    assert found[names.AUTOMATIONS] == {("proposed",): 1, ("created",): 1, ("promoted",): 1, ("rolled_back",): 1}
    assert (found[names.FEEDBACK], found[names.FEEDBACK_RATING]) == ({(): 3}, {(): 9})
    assert found[names.BUDGET_OVERRUN_USD] == {("support",): 1.0}
    assert found[names.CIRCUITS_OPENED] == {("model:m",): 1}
    assert found[names.SCHEDULER_RUNS] == {("learn", "ok"): 1, ("learn", "failed"): 1}
    assert found[names.DEAD_LETTERS] == {("REQUESTS",): 1}


def test_labels_that_others_choose_are_bounded_and_the_rest_is_other() -> None:
    bounds = BoundedLabels({"goal": 2})
    assert [bounds.bound("goal", goal) for goal in ("a", "b", "c", "a", "d")] == ["a", "b", "other", "a", "other"]
    bounds.forget("goal", "a")
    assert bounds.bound("goal", "c") == "c"
    assert bounds.bound("status", "anything") == "anything"
    assert len(BoundedLabels().bound("model", "m" * 1000)) == 64


def test_a_thousand_goals_make_no_thousand_series() -> None:
    instruments = Instruments()
    instruments.record(Sample(names.GOAL_COST, (f"goal{number}",), 1.0) for number in range(1000))
    text = instruments.render("")[1].decode()
    lines = [line for line in text.splitlines() if line.startswith("evolvent_goal_cost_usd_total{")]
    assert len(lines) == names.LABEL_LIMITS["goal"] + 1
    assert 'evolvent_goal_cost_usd_total{goal="other"} 950.0' in lines


def test_no_metric_is_labelled_by_run_user_or_message() -> None:
    assert not {"run_id", "user_id", "principal", "agent_id", "message"} & {
        label for metric in METRICS.values() for label in metric.labels
    }


def test_no_metric_can_have_more_than_five_hundred_series() -> None:
    fixed = {"priority": 6, "status": 3, "served_by": 5, "mode": 3, "category": 9, "outcome": 3, "kind": 3}
    fixed |= {"event": 6, "consumer": 12, "part": 6, "version": 1}
    fixed |= {"number": 8, "result": 3, "bound": 3, "trend": 5}

    def most(metric: Metric) -> int:
        series = len(metric.buckets) + 3 if metric.kind is Kind.HISTOGRAM else 1
        for label in metric.labels:
            series *= names.LABEL_LIMITS[label] + 1 if label in names.LABEL_LIMITS else fixed[label]
        return series

    assert max(most(metric) for metric in METRICS.values()) < 500
    assert len(METRICS) == len({metric.name for metric in METRICS.values()})


def test_memory_forgets_the_oldest() -> None:
    recent: Recent[int] = Recent(2)
    recent.put("a", 1)
    recent.put("b", 2)
    assert recent.get("a") == 1
    recent.put("c", 3)
    assert (recent.get("a"), recent.get("b"), recent.get("c"), len(recent)) == (1, None, 3, 2)


def test_gauges_that_are_told_no_more_go_away() -> None:
    instruments = Instruments()
    instruments.replace((names.BUDGET_SPENT,), [Sample(names.BUDGET_SPENT, (goal,), 1.0) for goal in ("a", "b")])
    instruments.replace((names.BUDGET_SPENT,), [Sample(names.BUDGET_SPENT, ("b",), 2.0)])
    text = instruments.render("")[1].decode()
    assert 'evolvent_budget_spent_usd{goal="b"} 2.0' in text
    assert 'goal="a"' not in text


def test_instances_are_told_by_their_own_health_calls() -> None:
    replies = [
        b'{"endpoints": [{"subject": "evolvent.loader.invoke"}, {"subject": "evolvent.loader.loader-1.health"}]}',
        b'{"endpoints": [{"subject": "evolvent.loader.loader-2.health"}]}',
        b'{"name": "a stranger", "endpoints": null}',
    ]
    found = instances(replies)
    assert found["loader"] == {"loader-1", "loader-2"}
    assert found["recorder"] == set()
