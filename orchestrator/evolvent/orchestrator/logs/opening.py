"""Makes the log source that the settings name."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from evolvent.events.clock import Clock
from evolvent.events.errors import ConfigInvalid
from evolvent.orchestrator.logs.files import LogFiles
from evolvent.orchestrator.logs.source import LogSource
from evolvent.orchestrator.logs.splunk import SplunkAccess, SplunkLogs
from evolvent.orchestrator.settings import LogSourceSettings

TOOL_MODULE = "evolvent.orchestrator.logs.diagnostic_tools"
_GIGABYTE = 1_000_000_000


def log_source(
    settings: LogSourceSettings, *, data_dir: Path, clock: Clock, other_folders: Sequence[Path] = ()
) -> LogSource | None:
    """Return the log source, or None where none is named. Nothing is read or connected before it is asked.

    Args:
        settings: Which source, and how.
        data_dir: Where the index of log files is kept, as `logs.db`.
        clock: Time.
        other_folders: Whose files are indexed where the settings name no folder.

    Raises:
        ConfigInvalid: If a folder, the address or the account cannot be used.
    """
    if settings.source == "splunk":
        if settings.splunk_url is None:
            raise ConfigInvalid("`tools.logs.source` is `splunk`, and `tools.logs.splunk_url` says not where it is.")
        return SplunkLogs(
            SplunkAccess(
                settings.splunk_url,
                token=settings.splunk_token,
                username=settings.splunk_username,
                password=settings.splunk_password,
                ca_file=settings.splunk_ca_file,
                timeout_seconds=settings.timeout_seconds,
            )
        )
    folders = tuple(folder.expanduser() for folder in settings.folders or other_folders)
    if not folders:
        return None
    most_bytes = int(settings.max_index_gigabytes * _GIGABYTE)
    return LogFiles(data_dir / "logs.db", folders, clock=clock, most_bytes=most_bytes)
