"""How to reach a running platform: the connection files of its data folder."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from evolvent.events.errors import Category, EvolventError
from evolvent.platform.private_files import make_private_folder, write_private


class NotRunning(EvolventError):
    """No platform runs on this data folder; start one with `evolvent up`, or name another with --data-dir."""

    code, category = "platform.not_running", Category.NETWORK


@dataclass(frozen=True, slots=True)
class Connection:
    """Where a platform listens, under one user's name."""

    nats_url: str = field(repr=False)
    metrics_url: str | None = None
    console_url: str | None = None
    pid: int | None = None
    database: str | None = field(default=None, repr=False)
    """Where the databases are, for the operator only."""


def read_connection(data_dir: Path, user: Literal["client", "operator"] = "client") -> Connection:
    """Return how to reach the platform of a data folder.

    Raises:
        NotRunning: there is no connection file, or it cannot be read.
    """
    path = data_dir / f"{user}.json"
    try:
        found = json.loads(path.read_text("utf-8"))
        return Connection(
            nats_url=found["nats_url"],
            metrics_url=found.get("metrics_url"),
            console_url=found.get("console_url"),
            pid=found.get("pid"),
            database=found.get("database"),
        )
    except FileNotFoundError:
        raise NotRunning(
            f"No platform runs on {data_dir}; start one with `evolvent up`, or name another with --data-dir."
        ) from None
    except (OSError, ValueError, KeyError, TypeError) as error:
        reason = getattr(error, "strerror", None) or "it is not what `evolvent up` writes"
        raise NotRunning(f"{path} cannot be used: {reason}; start `evolvent up` again to have it written.") from error


def usual_data_dir() -> Path:
    """Return where this system keeps a user's data."""
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Application Support" / "evolvent"
    return Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share") / "evolvent"


def write_external(data_dir: Path, url: str, extra: Mapping[str, object]) -> None:
    """Write client.json and operator.json of a platform on an external server: both speak as its one user."""
    make_private_folder(data_dir)
    document = {**extra, "nats_url": url, "pid": os.getpid()}
    write_private(data_dir / "operator.json", json.dumps(document, indent=2))
    document.pop("database", None)
    write_private(data_dir / "client.json", json.dumps(document, indent=2))


def forget_connection(data_dir: Path) -> None:
    """Take the connection files away, so that no command waits for a platform that is not there."""
    for user in ("client", "operator"):
        (data_dir / f"{user}.json").unlink(missing_ok=True)
