"""What became of a call: ok, error, or unknown. Decides only; `call.py` acts."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from evolvent.events.errors import Category, ErrorInfo, EvolventError
from evolvent.events.language.tools import ToolSpec
from evolvent.events.messages.runs import ToolOutcome
from evolvent.orchestrator.tools.bounds import Raised
from evolvent.orchestrator.tools.refusals import OutcomeUnknown, ToolBusy, ToolFailed, ToolTimeout, ToolUnreachable
from evolvent.orchestrator.tools.scrub import Scrubber

_MOST_OWN_TEXT = 4_000


@dataclass(frozen=True, slots=True)
class End:
    """How a call ended."""

    outcome: ToolOutcome
    result: Any = None
    result_ref: str | None = None
    error: ErrorInfo | None = None
    decided_by: str | None = None


def refused(error: EvolventError, scrub: Scrubber) -> End:
    """Return the end of a call that was not made."""
    return End(ToolOutcome.ERROR, error=_scrubbed(error.info(), scrub))


def failed(spec: ToolSpec, raised: Raised, scrub: Scrubber) -> End:
    """Return the end of a call that raised an error or ran out of time."""
    error = raised.error
    if isinstance(error, ToolBusy):
        return refused(error, scrub)
    if spec.effect.needs_claim and (raised.is_late or may_have_happened(error)):
        return unknown(spec, error, scrub)
    if raised.is_late:
        text = f"Tool {spec.name!r} did not end within {spec.timeout_seconds:g} s; ask for less, or try again."
        return End(ToolOutcome.ERROR, error=ToolTimeout(text).info())
    if isinstance(error, EvolventError):
        return refused(error, scrub)
    kind = ToolUnreachable if _is_of_the_network(error) else ToolFailed
    return End(ToolOutcome.ERROR, error=kind(f"Tool {spec.name!r} failed: {_said(error, scrub)}").info())


def unknown(spec: ToolSpec, error: BaseException, scrub: Scrubber) -> End:
    """Return the end of a call whose effect may or may not have taken place."""
    text = f"It is not known whether {spec.name!r} took effect ({_said(error, scrub)}); reconcile it or ask a person."
    return End(ToolOutcome.UNKNOWN, error=OutcomeUnknown(text).info())


def unkept(spec: ToolSpec, error: EvolventError, scrub: Scrubber) -> End:
    """Return the end of a call that returned something that cannot be kept.

    What a keyed or irreversible tool has done stays done: an error would invite the model to repeat it.
    """
    outcome = ToolOutcome.OK if spec.effect.needs_claim else ToolOutcome.ERROR
    return End(outcome, error=_scrubbed(error.info(), scrub))


def may_have_happened(error: BaseException) -> bool:
    """Say whether an error leaves open that a request was carried out and only its answer was lost."""
    for leaf in _leaves(error):
        match leaf:
            case ConnectionRefusedError():
                continue
            case OutcomeUnknown() | TimeoutError() | ConnectionError() | asyncio.CancelledError():
                return True
            case EvolventError() if leaf.info().category in (Category.TIMEOUT, Category.NETWORK):
                return True
            case _:
                continue
    return False


def _is_of_the_network(error: BaseException) -> bool:
    """Say whether all that went wrong is a connection, so that the same call may work a moment later."""
    return all(isinstance(leaf, ConnectionError | TimeoutError) for leaf in _leaves(error))


def _leaves(error: BaseException) -> Iterator[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        for part in error.exceptions:
            yield from _leaves(part)
    else:
        yield error


def _said(error: BaseException, scrub: Scrubber) -> str:
    """Describe a foreign error by its class and text, never by its stack."""
    leaf = next(_leaves(error))
    name = type(leaf).__name__
    try:
        text = str(leaf)
    except Exception:  # noqa: BLE001 - a broken __str__ must not hide the error itself
        text = ""
    return scrub(f"{name}: {text}" if text else name)


def _scrubbed(info: ErrorInfo, scrub: Scrubber) -> ErrorInfo:
    return info.model_copy(update={"message": scrub(info.message, _MOST_OWN_TEXT)})
