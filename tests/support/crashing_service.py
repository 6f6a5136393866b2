"""A service in a process of its own, ready to start at a word: `python -m support.crashing_service SERVICE DATA_DIR`.

Its imports take a second, so a test starts several ahead and says `go` to one at a time. EVOLVENT_CRASH_AT is
read when it starts.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from evolvent.platform.bootstrap import Assembly
from evolvent.platform.nats_folder import NatsFolder
from evolvent.platform.settings import load_settings


async def serve(service: str, data_dir: Path) -> None:
    """Start the service and stay until somebody ends the process."""
    await asyncio.to_thread(sys.stdin.readline)
    settings = load_settings(overrides={"data_dir": data_dir})
    state = NatsFolder(data_dir).settle()
    assembly = Assembly(settings, [service], state.url_for)
    await assembly.start()
    print("ready", flush=True)
    await assembly.broken.wait()


if __name__ == "__main__":
    asyncio.run(serve(sys.argv[1], Path(sys.argv[2])))
