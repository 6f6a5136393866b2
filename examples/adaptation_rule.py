"""An adaptive workflow that does one task at a time, and a rule of one's own that says which goes first.

my_rules.py adds 20 to the critical path. `errand` comes with a boost of 35: more than what the platform gives the
critical path by itself, and less than both together. So with the rule `long_way` goes first, without it `errand`.

python examples/adaptation_rule.py
"""

from start import Place, run

COUNT = {"tool": "calculate_metrics", "arguments": {"values": [1, 2, 3]}}
STEPS = [
    {**COUNT, "step_id": "errand", "priority_boost": 35, "estimated_duration": 1},
    {**COUNT, "step_id": "long_way", "estimated_duration": 5},
    {**COUNT, "step_id": "end_of_it", "dependencies": ["long_way"], "estimated_duration": 5},
]


async def main(place: Place) -> None:
    made = await place.client.create_workflow("Adapted", STEPS, execution_mode="adaptive", max_parallel_steps=1)
    async for step in place.client.execute_custom_workflow(made):
        if step.type == "tool_completed":
            print("done:", step.data["task_id"])


if __name__ == "__main__":
    run(main)
