"""How a run is while it runs, what the engine has in hand, and how to stop it.

python examples/monitoring.py
"""

from start import Place, run

STEPS = [
    {"step_id": "first", "tool": "calculate_metrics", "arguments": {"values": [1, 2, 3]}},
    {"step_id": "person", "approval": "Go on?", "dependencies": ["first"]},
    {"step_id": "second", "tool": "calculate_metrics", "arguments": {"values": [4, 5]}, "dependencies": ["person"]},
]


async def main(place: Place) -> None:
    client = place.client
    made = await client.create_workflow("Watched", STEPS)
    answer = await client.ask("", workflow=made.name)
    status = await client.get_workflow_status(answer.run_id)
    print(f"state {status.state}, progress {status.progress:.0%}, {status.total_execution_time:.2f} s")
    for task in status.tasks:
        took = f" in {task.execution_time:.2f} s" if task.execution_time is not None else ""
        print(f"  {task.task_id}: {task.state}{took}")

    await client.cancel_workflow(answer.run_id, reason="seen enough")
    *_, last = [step async for step in client.follow(answer.run_id)]
    print(f"after cancel: {last.type}")

    metrics = await client.get_engine_metrics()
    while not metrics.cancelled_workflows:  # the recorder is a moment behind
        metrics = await client.get_engine_metrics()
    print(f"active {metrics.active_workflows}, completed {metrics.completed_workflows}, load {metrics.agent_load}")
    print("latest runs:", [f"{run.workflow} {run.status}" for run in metrics.performance_metrics][:3])


if __name__ == "__main__":
    run(main)
