from __future__ import annotations

import pytest

from evolvent.events.errors import InvalidMessage
from evolvent.events.language.plan import plan
from evolvent.events.language.prompt_diet import expected_diet
from evolvent.events.language.workflow import Task, TaskKind, Workflow
from evolvent.platform.cli.workflow_documents import as_yaml, split_name, unified_diff
from evolvent.platform.cli.workflow_drawing import Sight, draw, seconds
from evolvent.platform.task_views import TaskView


def tool(task_id: str, estimate: float | None = None, *after: str, name: str = "search_logs") -> Task:
    return Task(
        task_id=task_id,
        kind=TaskKind.TOOL,
        tool=name,
        dependencies=after,
        estimated_duration_seconds=estimate,
    )


REPORT = Workflow(
    name="report",
    max_parallel_tasks=3,
    tasks=(
        tool("fetch", 8),
        tool("audit", 2, name="check_license"),
        tool("prices", None),
        Task(task_id="ask", kind=TaskKind.APPROVAL, dependencies=("audit",), estimated_duration_seconds=1),
        Task(
            task_id="sum_up",
            instructions="Sum it up.",
            agent_type="writer",
            dependencies=("fetch", "ask", "prices"),
            estimated_duration_seconds=3,
        ),
    ),
)


def lines(workflow: Workflow, sight: Sight) -> str:
    return "\n".join(line.plain for line in draw(workflow, plan(workflow, sight.seen), sight))


def test_a_wide_terminal_sees_phases_the_critical_path_times_and_bars() -> None:
    assert (
        lines(REPORT, Sight(width=100, seen={"fetch": 9.25}))
        == """\
1 ┬ * fetch   tool search_logs    8 s, seen 9.2 s  ███████████████
  ├   audit   tool check_license              2 s  ███
  └   prices  tool search_logs             ~3.8 s  ██████
2 ─   ask     approval                        1 s     ██  ← audit
3 ─ * sum_up  agent writer                    3 s                 █████  ← fetch, ask, prices

* critical path: fetch → sum_up
5 tasks in 3 phases, 60% side by side
12.2 s of 19.1 s: 36% time saved, 1.6x at best
12.2 s expected: mode parallel, at most 3 at a time"""
    )


def test_a_narrow_terminal_keeps_names_and_times() -> None:
    assert (
        lines(REPORT, Sight(width=34))
        == """\
1 ┬ * fetch      8 s
  ├   audit      2 s
  └   prices  ~3.5 s
2 ─   ask        1 s  ← audit
3 ─ * sum_up     3 s
      ← fetch, ask, prices

* critical path: fetch → sum_up
5 tasks in 3 phases, 60% side by side
11 s of 17.5 s: 37% time saved, 1.6x at best
11 s expected: mode parallel, at most 3 at a time"""
    )


@pytest.mark.parametrize("width", [20, 34, 60, 90, 140])
def test_no_line_of_the_graph_is_wider_than_the_terminal(width: int) -> None:
    long = Workflow(name="long", tasks=tuple(tool("a_very_long_name_of_a_task_" + str(n), 1) for n in range(5)))
    graph = [line.plain for line in draw(long, plan(long), Sight(width=max(width, 24)))][:5]
    assert all(len(line) <= max(width, 24) for line in graph)


def test_a_run_shows_the_state_and_the_real_time_of_each_task() -> None:
    views = {
        "fetch": TaskView("done", 0.0, 4.0),
        "audit": TaskView("failed", 0.0, 1.0),
        "prices": TaskView("running", 2.0, 3.0),
        "ask": TaskView("skipped"),
        "sum_up": TaskView("waiting"),
    }
    assert (
        lines(REPORT, Sight(width=100, run=views))
        == """\
1 ┬ ✓* fetch   tool search_logs    4 s  ████████████████████
  ├ ✗  audit   tool check_license  1 s  █████
  └ …  prices  tool search_logs    1 s            █████
2 ─ -  ask     approval              -  ← audit
3 ─ ·* sum_up  agent writer          -  ← fetch, ask, prices

* critical path: fetch → sum_up
5 tasks in 3 phases, 60% side by side
1 of 5 done"""
    )


def test_a_thousand_tasks_are_a_page_and_not_a_scroll() -> None:
    many = Workflow(name="many", tasks=tuple(tool(f"t{n}", 1) for n in range(1000)))
    drawn = [line.plain for line in draw(many, plan(many), Sight(width=80))]
    assert len(drawn) < 40
    assert "… and 980 more" in "\n".join(drawn)


def test_codes_that_steer_a_terminal_are_written_out() -> None:
    evil = Workflow(name="x", tasks=(tool("a", 1, name="\x1b[2J"),))
    assert "\x1b" not in lines(evil, Sight(width=100))


@pytest.mark.parametrize(
    ("value", "said"),
    [(0.0, "0 ms"), (0.25, "250 ms"), (1.0, "1 s"), (12.34, "12.3 s"), (300, "5 min"), (7200, "2 h")],
)
def test_durations_are_said_as_people_say_them(value: float, said: str) -> None:
    assert seconds(value) == said


def test_a_diff_shows_the_words_that_changed() -> None:
    changed = REPORT.model_copy(update={"max_parallel_tasks": 2})
    a, b = (each.model_dump(mode="json", exclude={"tasks"}) for each in (REPORT, changed))
    found = unified_diff(a, b, ("report@1", "report@2"))
    assert found[:2] == ["--- report@1", "+++ report@2"]
    assert "-max_parallel_tasks: 3" in found
    assert "+max_parallel_tasks: 2" in found
    assert unified_diff(a, a, ("x", "y")) == []


def test_long_texts_are_yaml_blocks() -> None:
    assert as_yaml({"instructions": "one\ntwo\n"}) == "instructions: |\n  one\n  two\n"


def test_a_name_may_carry_a_version() -> None:
    assert split_name("report") == ("report", None)
    assert split_name("report@12") == ("report", 12)
    with pytest.raises(InvalidMessage, match="NAME@3"):
        split_name("report@new")


def test_tasks_that_share_a_job_are_told_less_than_one_prompt_for_all() -> None:
    jobs = tuple(Task(task_id=f"t{n}", instructions="x" * 1000) for n in range(10))
    diet = expected_diet(Workflow(name="w", tasks=jobs))
    assert diet.tasks["t0"] == 1000
    assert diet.saved > 0.89
    assert expected_diet(Workflow(name="w", tasks=(tool("a"),))).saved == 0.0


def test_the_time_of_a_view_is_what_lies_between() -> None:
    assert TaskView("done", 1.0, 3.5).seconds == 2.5
    assert TaskView("waiting").seconds is None
