"""`python -m evolvent.platform.scripted_model`: the scripted model server as a process of its own."""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys
from pathlib import Path

from evolvent.platform.scripted_model.script import Latency, Script, ScriptError
from evolvent.platform.scripted_model.server import ScriptedModelServer


def main(arguments: list[str] | None = None) -> int:
    """Serve until SIGTERM or SIGINT; print the base URL on stdout once it listens."""
    parser = argparse.ArgumentParser(prog="python -m evolvent.platform.scripted_model", description=main.__doc__)
    parser.add_argument("--script", type=Path, help="YAML or JSON; the demo's script where left out")
    parser.add_argument("--host", default="127.0.0.1", help="it has no authentication: leave it on loopback")
    parser.add_argument("--port", type=int, default=0, help="0 takes a free one")
    parser.add_argument("--port-file", type=Path, help="the base URL is written here once it listens")
    parser.add_argument("--latency-ms", type=float, default=None)
    parser.add_argument("--ms-per-token", type=float, default=None)
    options = parser.parse_args(arguments)
    try:
        script = Script.load(options.script) if options.script else Script.demo()
    except ScriptError as error:
        parser.error(str(error))
    asyncio.run(_serve(script, options))
    return 0


async def _serve(script: Script, options: argparse.Namespace) -> None:
    latency = Latency(
        fixed_ms=script.latency.fixed_ms if options.latency_ms is None else options.latency_ms,
        ms_per_token=script.latency.ms_per_token if options.ms_per_token is None else options.ms_per_token,
    )
    server = ScriptedModelServer(script, latency=latency)
    stopped = asyncio.Event()
    for each in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(each, stopped.set)
    url = await server.start(options.host, options.port)
    if options.port_file is not None:
        _write_whole(options.port_file, url + "\n")
    sys.stdout.write(url + "\n")
    sys.stdout.flush()
    await stopped.wait()
    await server.stop()


def _write_whole(path: Path, text: str) -> None:
    """Write a file so that whoever waits for it never reads half of it."""
    draft = path.with_name(path.name + ".new")
    draft.write_text(text, encoding="utf-8")
    draft.replace(path)


if __name__ == "__main__":
    sys.exit(main())
