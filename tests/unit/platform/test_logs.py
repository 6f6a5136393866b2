from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest
import structlog

from evolvent.platform.logs import set_up_logs

SECRET = "correct-horse-battery-staple"


@pytest.fixture(autouse=True)
def _restored() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    yield
    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()
    root.handlers, root.level = handlers, level


def _lines(out: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in out.getvalue().splitlines()]


def test_a_run_id_bound_once_is_on_every_line() -> None:
    out = io.StringIO()
    set_up_logs(style="json", stream=out)
    with structlog.contextvars.bound_contextvars(run_id="r1"):
        structlog.get_logger("x").info("one")
        logging.getLogger("a.library").warning("two")
    assert [(line["event"], line["run_id"], line["level"]) for line in _lines(out)] == [
        ("one", "r1", "info"),
        ("two", "r1", "warning"),
    ]


def test_no_secret_comes_out_however_deep_it_is_or_in_a_trace() -> None:
    out = io.StringIO()
    set_up_logs(style="json", secrets=[SECRET], stream=out)
    log = structlog.get_logger("x")
    log.info("hello", deep={"list": [f"is {SECRET}"]}, url=f"nats://me:{SECRET}@host", key="sk-abcdefghijklmnop")
    try:
        raise ValueError(SECRET)
    except ValueError:
        log.exception("failed")
    logging.getLogger("a.library").error("it said %s", SECRET)
    assert SECRET not in out.getvalue()
    assert "sk-abcdefghijklmnop" not in out.getvalue()
    assert len(_lines(out)) == 3
    assert "ValueError" in _lines(out)[1]["exception"]


def test_lines_below_the_level_are_not_written() -> None:
    out = io.StringIO()
    set_up_logs(level="error", stream=out)
    structlog.get_logger("x").warning("quiet")
    logging.getLogger("a.library").warning("quiet")
    structlog.get_logger("x").error("loud", count=3)
    assert "quiet" not in out.getvalue()
    assert "count=3" in out.getvalue()
