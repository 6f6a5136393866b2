"""A whole client in plain nats-py: publish a request, watch its run, print the answer.

    evolvent up                                   # in another terminal
    python examples/plain_nats_client.py "How is this machine doing?"

It needs nothing of Evolvent but the address in client.json, which `evolvent up` wrote.
"""

import asyncio
import json
import os
import sys
import uuid
from pathlib import Path

import nats

DATA_DIR = Path(os.environ.get("EVOLVENT_DATA_DIR") or Path.home() / ".local/share/evolvent")
FINAL = ("workflow_completed", "workflow_failed", "workflow_cancelled", "workflow_suspended")


async def main(message: str) -> int:
    url = json.loads((DATA_DIR / "client.json").read_text())["nats_url"]
    bus = await nats.connect(url)
    run_id = str(uuid.uuid4())
    events = await bus.subscribe(f"evolvent.runs.{run_id}.>")
    await bus.flush()

    # The reply to a request is JetStream's receipt: from here on the platform owes us an end of this run.
    request = json.dumps({"message": message, "run_id": run_id})
    receipt = await bus.request("evolvent.requests.medium.default", request.encode(), timeout=5)
    print("stored as", json.loads(receipt.data)["seq"], "run", run_id)

    last = -1
    async for delivery in events.messages:
        event = json.loads(delivery.data)
        # Appends that the server refused are seen here, too. What counts always goes on from what counted before.
        if event.get("prev_seq", 0) <= last:
            continue
        last = event.get("prev_seq", 0)
        tools = [f"{call['name']} {call.get('outcome', 'ok')}" for call in event.get("tools", [])]
        print(event["type"], *tools)
        if event["type"] in FINAL:
            print(event.get("answer") or event.get("error") or event.get("detail"))
            await bus.close()
            return 0 if event["type"] == "workflow_completed" else 1
    return 1


if __name__ == "__main__":
    sys.exit(asyncio.run(main(sys.argv[1])))
