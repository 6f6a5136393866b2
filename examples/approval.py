"""A person is asked before anything is sent. The run waits without holding anything, over restarts, for a day.

python examples/approval.py
"""

from start import Place, run

STEPS = [
    {"step_id": "account", "tool": "fetch_account", "arguments": {"account_id": "${params.account_id}"}},
    {
        "step_id": "may_we",
        "approval": {"prompt": "Send the reminder? `evolvent runs show` has the account."},
        "dependencies": ["account"],
    },
    {
        "step_id": "reminder",
        "kind": "compute",
        "arguments": {"to": "${tasks.account.output.name}", "usd": "${tasks.account.output.overdue_usd}"},
        "dependencies": ["may_we", "account"],
    },
]
PARAMETERS = {"type": "object", "properties": {"account_id": {"type": "string"}}, "required": ["account_id"]}


async def main(place: Place) -> None:
    client = place.client
    made = await client.create_workflow("Careful reminder", STEPS, parameters=PARAMETERS)
    for approved in (True, False):
        asked = await client.ask("", workflow=made.name, parameters={"account_id": "ACC-12345"})
        assert asked.error is not None
        print(f"{asked.status}: {asked.error.message}")
        # The same as `evolvent runs approve RUN_ID` and `evolvent runs deny RUN_ID`.
        await client.decide(asked.run_id, approved=approved, note="from an example")
        ended = [step async for step in client.follow(asked.run_id)][-1]
        print(f"{'yes' if approved else 'no'}: {ended.type}", ended.data.get("output") if approved else "")


if __name__ == "__main__":
    run(main)
