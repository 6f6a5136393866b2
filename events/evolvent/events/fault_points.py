"""Named points at which a test may kill the process: `EVOLVENT_CRASH_AT=<point>:<n>` kills it at the n-th visit.

Off unless that variable is set when the process starts; then every visit costs one comparison.
"""

from __future__ import annotations

import itertools
import os
import signal

POINTS = (
    "request.taken",
    "run.leased",
    "run.before_start",
    "run.started",
    "run.before_append",
    "run.appended",
    "turn.leased",
    "turn.before_invoke",
    "turn.replied",
    "tool.claimed",
    "tool.before_call",
    "tool.called",
    "run.final_stored",
    "run.before_ack",
    "run.acked",
    "run.before_resume",
    "run.resumed",
    "loader.before_model",
    "loader.replied",
    "lease.before_commit",
    "lease.committed",
    "settle.before_commit",
    "recorder.before_commit",
    "recorder.committed",
)
SCHEDULE_POINTS = ("schedule.planned", "schedule.published")
"""Met only where somebody has a schedule; tests/integration/test_user_schedules.py dies at each."""
_point, _, _at = os.environ.get("EVOLVENT_CRASH_AT", "").partition(":")
_visits = itertools.count(1)


def reach(point: str) -> None:
    """Die here, by SIGKILL, if this is the visit that was asked for."""
    if point == _point and next(_visits) == int(_at or 1):
        os.kill(os.getpid(), signal.SIGKILL)
