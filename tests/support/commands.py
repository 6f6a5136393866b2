"""Commands of the command line run in this process, which saves a start of Python each."""

from __future__ import annotations

import asyncio
import io
import json
from contextlib import redirect_stderr, redirect_stdout
from typing import Any

from support.processes import Platform

from evolvent.platform.cli.app import run


async def said(platform: Platform, *arguments: str) -> tuple[int, str, str]:
    """Run a command; return its exit code, stdout and stderr."""
    out, err = io.StringIO(), io.StringIO()

    def work() -> int:
        with redirect_stdout(out), redirect_stderr(err):
            try:
                run([*arguments, "--data-dir", str(platform.data_dir)])
            except SystemExit as ended:
                return int(ended.code or 0)
        return 0

    return await asyncio.to_thread(work), out.getvalue(), err.getvalue()


async def ok(platform: Platform, *arguments: str) -> str:
    """Run a command that must work; return its stdout."""
    code, out, err = await said(platform, *arguments)
    assert code == 0, err
    return out


def rows(text: str) -> list[dict[str, Any]]:
    """Read JSON Lines."""
    return [json.loads(line) for line in text.splitlines()]
