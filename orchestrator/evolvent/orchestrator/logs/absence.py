"""What to say where a workflow needs the log tools and no log source is set up: one problem, with the setting."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from evolvent.events.language.workflow_problems import Problem

DIAGNOSTIC_TOOLS = frozenset(
    {"run_oneshot_search", "list_indexes", "list_sourcetypes", "get_current_user", "log_source_health", "check_license"}
)
REMEDY = (
    "Name folders with log files, such as EVOLVENT_TOOLS__LOGS__FOLDERS='[\"/var/log\"]', or a Splunk server with "
    "EVOLVENT_TOOLS__LOGS__SOURCE=splunk and EVOLVENT_TOOLS__LOGS__SPLUNK_URL, and start the platform again."
)


def told_once(problems: Iterable[Problem], tools: Mapping[str, object]) -> list[Problem]:
    """Return problems with those about absent log tools put into one that says what to set up."""
    absent = {name for name in DIAGNOSTIC_TOOLS if name not in tools}
    kept: list[Problem] = []
    lacking: list[str] = []
    for problem in problems:
        named = problem.what.split("'")[1:2] if problem.code == "tool.unknown" else []
        if named and named[0] in absent:
            lacking += [name for name in named if name not in lacking]
        else:
            kept.append(problem)
    if lacking:
        what = f"It needs {', '.join(sorted(lacking))}, and this platform has no log source."
        kept.insert(0, Problem("workflow", what, REMEDY, "logs.no_source"))
    return kept
