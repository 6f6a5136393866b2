"""The SDK: ask and wait, ask and follow, and say what you think of the answer.

evolvent up                                   # in another terminal
python examples/ask_and_follow.py "How is this machine doing?"
"""

import asyncio
import os
import sys

from evolvent.platform.client import Client


async def main(message: str) -> None:
    async with Client.connect(os.environ.get("EVOLVENT_DATA_DIR")) as client:
        # Wait for the answer. Asking again under the same run_id would be asking once.
        answer = await client.ask(message, goal="default", user_id="an example")
        print(f"{answer.status} by {answer.served_by} for ${answer.cost_usd:.6f}: {answer.answer}")

        # Publish, go away, come back: the run does not need its client.
        run_id = await client.publish(message, priority="high")
        async for step in client.follow(run_id):
            print(step.type, step.data.get("name", ""))

        await client.improve("Shorter, please.", run_id=run_id, rating=4)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
