"""What the server can do wrong on purpose, and how often."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from evolvent.platform.scripted_model.chat import Answer, ChatRequest


class FaultKind(StrEnum):
    """The ways in which model servers fail."""

    RATE_LIMIT = "rate_limit"
    """429 with Retry-After."""
    QUOTA = "quota"
    """429 with the code insufficient_quota."""
    SERVER_ERROR = "server_error"
    """The `status` given, 500 by default."""
    HANG = "hang"
    """Reads the request and never answers."""
    DISCONNECT = "disconnect"
    """Closes the connection in the middle of the answer."""
    DRIP = "drip"
    """Sends one byte after the other, for ever."""
    ENDLESS = "endless"
    """Sends text without end, as fast as it is read."""
    CUT = "cut"
    """A stream that ends cleanly after half of its text, without a finish reason. Whole answers are not touched."""
    HTML = "html"
    """200 with a web page, as captive portals and proxies send."""
    BAD_ARGUMENTS = "bad_arguments"
    """Tool calls whose arguments are broken JSON."""
    NO_USAGE = "no_usage"
    NO_CHOICES = "no_choices"
    HUGE = "huge"
    """A valid answer of `size_bytes`."""


class Fault(BaseModel):
    """One fault and the requests that it befalls; a condition left out always holds.

    Attributes:
        times: After that many it is used up.
        every: Befalls each n-th fitting request only.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: FaultKind
    rule: str | None = None
    turn: int | None = None
    contains: str | None = None
    model: str | None = None
    times: int | None = None
    every: int = Field(default=1, ge=1)
    retry_after: float = Field(default=1.0, ge=0)
    status: int = Field(default=500, ge=300, le=599)
    size_bytes: int = 64 * 1024 * 1024

    @classmethod
    def of_header(cls, text: str) -> Fault:
        """Read a fault from the header `x-evolvent-fault`: `rate_limit; retry_after=2`.

        Raises:
            ValueError: The kind or a member is not known.
        """
        kind, *options = (part.strip() for part in text.split(";"))
        pairs = [option.partition("=") for option in options]
        return cls.model_validate({"kind": kind} | {name.strip(): value.strip() for name, _, value in pairs})

    def befalls(self, request: ChatRequest, answer: Answer) -> bool:
        """Say whether all conditions hold."""
        return (
            (self.rule is None or self.rule == answer.rule)
            and (self.turn is None or self.turn == answer.turn)
            and (self.contains is None or self.contains.lower() in request.last_user.lower())
            and (self.model is None or self.model == request.model)
        )


@dataclass
class _Posted:
    fault: Fault
    seen: int = 0
    done: int = 0


class FaultBoard:
    """The faults that are switched on, in order; the first that befalls a request is played."""

    def __init__(self) -> None:
        self._posted: list[_Posted] = []

    def add(self, fault: Fault) -> None:
        """Switch a fault on, after those that are on."""
        self._posted.append(_Posted(fault))

    def clear(self) -> None:
        """Switch all faults off, those of the script included."""
        self._posted.clear()

    def take(self, request: ChatRequest, answer: Answer) -> Fault | None:
        """Return the fault to play for this request and count it."""
        for posted in self._posted:
            fault = posted.fault
            if (fault.times is not None and posted.done >= fault.times) or not fault.befalls(request, answer):
                continue
            posted.seen += 1
            if posted.seen % fault.every == 0:
                posted.done += 1
                return fault
        return None

    def state(self) -> list[dict[str, Any]]:
        """Return every fault that was switched on and how often it was played."""
        return [{**posted.fault.model_dump(), "played": posted.done} for posted in self._posted]
