"""Random workflows for properties: any DAG, its tasks in any order."""

from __future__ import annotations

from hypothesis import strategies as st

from evolvent.events.language.workflow import Task, Workflow


@st.composite
def dags(draw: st.DrawFn, max_tasks: int = 14) -> Workflow:
    """Draw a workflow without cycles."""
    count = draw(st.integers(1, max_tasks))
    tasks = []
    for index in range(count):
        above = st.lists(st.integers(0, index - 1), max_size=4, unique=True) if index else st.just([])
        seconds = draw(st.one_of(st.none(), st.floats(0, 100, allow_nan=False)))
        names = tuple(f"t{number}" for number in draw(above))
        tasks.append(Task(task_id=f"t{index}", dependencies=names, estimated_duration_seconds=seconds))
    return Workflow(
        name="random", tasks=tuple(draw(st.permutations(tasks))), max_parallel_tasks=draw(st.integers(1, 5))
    )


def json_values() -> st.SearchStrategy[object]:
    """Draw any JSON."""
    leaves = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
    keys = st.sampled_from(["a", "b", "c", "records"]) | st.text(max_size=5)
    return st.recursive(
        leaves, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(keys, inner, max_size=4), max_leaves=12
    )
