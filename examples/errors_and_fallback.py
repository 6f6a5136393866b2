"""A step that keeps failing: it is tried again, the run falls back to another workflow, and nothing done is lost.

python examples/errors_and_fallback.py
"""

from start import Place, run

NOBODY = 9
CAREFUL = {"retry_count": 2, "retry_delay": 0.1, "timeout_seconds": 60}
FRAGILE = [
    {"step_id": "known", "tool": "fetch_account", "arguments": {"account_id": "ACC-20001"}},
    {"step_id": "critical_step", "tool": "reach", "arguments": {"port": NOBODY}, **CAREFUL},
]
PLAIN = [{"step_id": "last_known", "tool": "fetch_history", "arguments": {"account_id": "ACC-20001"}}]


async def main(place: Place) -> None:
    client = place.client
    alone = await client.create_workflow("Fragile alone", FRAGILE)
    failed = await client.ask("", workflow=alone.name)
    assert failed.error is not None
    print(f"without a fallback: {failed.status}: {failed.error.message}")
    print(f"kept all the same: {failed.output['known']['name']}")

    fallback = await client.create_workflow("Plain history", PLAIN)
    safe = await client.create_workflow("Fragile", FRAGILE, fallback=fallback.name)
    tries = 0
    async for step in client.execute_custom_workflow(safe):
        if step.type == "tool_completed" and step.data["outcome"] != "ok":
            tries += 1
            print(f"try {tries} of {step.data['task_id']}: {step.data['error']['message']}")
        elif step.type == "workflow_completed":
            print(f"with a fallback: completed, {len(step.data['output'])} entry of history")


if __name__ == "__main__":
    run(main)
