"""Evolvent as one process beside its nats-server, whole and with every service, but for a model that answers at once.

The scripted model server would cost a second core; the floor has its model in the process too.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

from evolvent.events.language.conversation import ModelReply, Usage
from evolvent.orchestrator.llm.client import ModelRequest
from evolvent.platform.bootstrap import Assembly, all_services
from evolvent.platform.logs import set_up_logs
from evolvent.platform.running import nats, run_until_stopped, stop_signal
from evolvent.platform.settings import Settings, load_settings


class InstantModel:
    """Answers the same, at once, without a network."""

    async def complete(self, request: ModelRequest, *, on_text: Callable[[str], None] | None = None) -> ModelReply:
        usage = Usage(prompt_tokens=10, completion_tokens=3)
        return ModelReply(text="hi", usage=usage, finish_reason="stop", model=request.model)

    async def close(self) -> None:
        """Nothing is open."""


async def serve(settings: Settings) -> int:
    stopping = stop_signal()
    async with nats(settings) as server:
        assembly = Assembly(settings, all_services(settings), server.url_for, model=InstantModel())
        await assembly.start()
        try:
            print(server.announce(assembly.addresses), flush=True)
            await stopping.wait()
        finally:
            await assembly.stop()
    return 0


def main(data_dir: str, overrides: str) -> int:
    settings = load_settings(overrides={"data_dir": Path(data_dir), **json.loads(overrides)})
    set_up_logs(style="console", level=settings.logs.level, secrets=settings.secrets())
    return run_until_stopped(serve(settings))


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
