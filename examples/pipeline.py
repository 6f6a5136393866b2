"""Items that stream from task to task: the second order is read while the first is being checked.

python examples/pipeline.py
"""

from start import Place, run

STEPS = [
    {
        "step_id": "orders",
        "tool": "fetch_records",
        "arguments": {"path": "orders_south.json"},
        "data_transformations": [{"type": "filter", "criteria": {"status": {"equals": "active"}}}],
    },
    {
        "step_id": "with_shipping",
        "tool": "calculate_metrics",
        "arguments": {"values": ["${item.amount}", 19]},
        "dependencies": ["orders"],
    },
    {
        "step_id": "checked",
        "kind": "compute",
        "arguments": {"total": "${item.sum}"},
        "dependencies": ["with_shipping"],
    },
]


async def main(place: Place) -> None:
    made = await place.client.create_workflow("Streamed orders", STEPS, execution_mode="pipeline")
    async for step in place.client.execute_custom_workflow(made):
        if step.type == "tool_completed":
            print("done:", step.data["task_id"])
        elif step.type == "workflow_completed":
            print("orders with shipping:", [each["total"] for each in step.data["output"]])


if __name__ == "__main__":
    run(main)
