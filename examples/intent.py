"""Nobody names a workflow: the message picks it, if it means one with a confidence of 0.7; else an agent answers.

python examples/intent.py
"""

from start import Place, run

STEPS = [{"step_id": "account", "tool": "fetch_account", "arguments": {"account_id": "ACC-12345"}}]
MEANT_FOR = ["analyse my account", "how is my account doing", "show me the state of the account"]


async def main(place: Place) -> None:
    await place.client.create_workflow("Account look", STEPS, intents=MEANT_FOR)
    for message in ("Please analyse my account", "Hello, nice to meet you"):
        run_id = await place.client.publish(message)
        async for step in place.client.follow(run_id):
            if step.type == "workflow_started":
                routing = step.data["routing"]
                print(f"{message!r} is served by {routing['served_by']}: {routing['chosen']} ({routing['reason']})")


if __name__ == "__main__":
    run(main)
