"""Structured logs on stderr: lines for people or JSON for machines, run_id on every line of a run, secrets never.

Libraries that log in the standard way come out in the same form, from `warning` on.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterable
from typing import Literal, TextIO

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from evolvent.orchestrator.tools.scrub import Scrubber

_LONGEST_VALUE = 2000
_LONGEST_TRACE = 8000
_LEVELS = {"debug": 10, "info": 20, "warning": 30, "error": 40}


def set_up_logs(
    *,
    style: Literal["console", "json"] = "console",
    level: str = "info",
    secrets: Iterable[str] = (),
    stream: TextIO | None = None,
) -> None:
    """Decide for this process how logs look and what they must not hold."""
    out = stream or sys.stderr
    redact = _Redact(Scrubber(secrets))
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
        structlog.processors.format_exc_info,
        redact,
    ]
    structlog.configure(
        processors=[*shared, _renderer(style, out)],
        wrapper_class=structlog.make_filtering_bound_logger(_LEVELS[level]),
        logger_factory=structlog.WriteLoggerFactory(file=out),
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(out)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, _renderer(style, out)],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(max(logging.WARNING, _LEVELS[level]))


class _Redact:
    """Takes secrets out of whatever a log line holds, however deep."""

    def __init__(self, scrub: Scrubber) -> None:
        self._scrub = scrub

    def __call__(self, _logger: WrappedLogger, _method: str, line: EventDict) -> EventDict:
        return {key: self._clean(key, value) for key, value in line.items()}

    def _clean(self, key: str, value: object) -> object:
        if value is None or isinstance(value, bool | int | float) or key.startswith("_"):
            return value
        if isinstance(value, dict):
            return {str(k): self._clean(str(k), v) for k, v in value.items()}
        if isinstance(value, list | tuple | set | frozenset):
            return [self._clean(key, item) for item in value]
        if key == "exception":
            return "\n".join(self._scrub(part, _LONGEST_VALUE) for part in str(value)[-_LONGEST_TRACE:].splitlines())
        return self._scrub(str(value), _LONGEST_VALUE)


def _renderer(style: Literal["console", "json"], out: TextIO) -> Processor:
    if style == "json":
        return structlog.processors.JSONRenderer()
    return structlog.dev.ConsoleRenderer(colors=out.isatty(), exception_formatter=structlog.dev.plain_traceback)
