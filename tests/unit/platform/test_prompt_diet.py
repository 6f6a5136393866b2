from __future__ import annotations

from support.runs import AGENT, RUN, envelope, started, turn

from evolvent.events.language.workflow import Task, Workflow
from evolvent.events.messages.runs import AgentCompleted
from evolvent.platform.cli.run_story import Story

PAIR = Workflow(name="pair", tasks=tuple(Task(task_id=name, agent_id=AGENT.agent_id) for name in ("a", "b")))


def story(*prompts: tuple[str, int, int]) -> Story:
    turns = tuple(
        turn(0, text="so", task_id=name).model_copy(update={"prompt_bytes": told, "monolith_bytes": whole})
        for name, told, whole in prompts
    )
    return Story(RUN, [(1, started(PAIR)), (2, AgentCompleted(**envelope(1), turns=turns))], "journal")


def test_what_the_agents_of_a_run_were_spared_is_in_its_document() -> None:
    diet = story(("a", 100, 1000), ("b", 300, 1000)).document()["prompt_diet"]
    assert diet == {"prompts": 2, "prompt_bytes": 400, "monolith_bytes": 2000, "spared": 0.8}


def test_a_run_that_told_no_agent_anything_has_no_diet() -> None:
    assert story().document()["prompt_diet"] is None
