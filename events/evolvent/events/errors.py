"""One tree of errors, and the form in which an error travels.

The first line of an error's docstring is its default message: it says what happened and what to do next.
"""

from __future__ import annotations

from enum import StrEnum
from typing import ClassVar

from pydantic import BaseModel, ConfigDict


class Category(StrEnum):
    """The eight kinds of failure that recovery tables are written in."""

    AGENT = "agent"
    TOOL = "tool"
    NETWORK = "network"
    PERMISSION = "permission"
    VALIDATION = "validation"
    TIMEOUT = "timeout"
    RESOURCE = "resource"
    SYSTEM = "system"


class ErrorInfo(BaseModel):
    """An error as it stands in events, replies and listings. Never holds a secret or a stack trace."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    code: str
    category: Category
    message: str
    retryable: bool = False
    retry_after_seconds: float | None = None


class EvolventError(Exception):
    """Something went wrong inside Evolvent; see the log line with this run_id."""

    code: ClassVar[str] = "internal"
    category: ClassVar[Category] = Category.SYSTEM
    retryable: ClassVar[bool] = False

    def __init__(self, message: str | None = None, *, retry_after_seconds: float | None = None) -> None:
        super().__init__(message or (self.__doc__ or "").strip().splitlines()[0])
        self.retry_after_seconds = retry_after_seconds

    def info(self) -> ErrorInfo:
        """Return the wire form of this error."""
        return ErrorInfo(
            code=self.code,
            category=self.category,
            message=str(self),
            retryable=self.retryable,
            retry_after_seconds=self.retry_after_seconds,
        )


class RemoteError(EvolventError):
    """A service answered with an error; its own code and category are in `info()`."""

    code = "remote"

    def __init__(self, info: ErrorInfo) -> None:
        super().__init__(info.message, retry_after_seconds=info.retry_after_seconds)
        self._info = info

    def info(self) -> ErrorInfo:
        """Return the error as the answering service stated it."""
        return self._info


class InvalidMessage(EvolventError):
    """The message cannot be read; correct the fields named and send it again. Nothing was started."""

    code, category = "message.invalid", Category.VALIDATION


class InvalidSubject(EvolventError):
    """A subject token must match [A-Za-z0-9_-]{1,64}; rename it. Nothing was sent."""

    code, category = "subject.invalid", Category.VALIDATION


class PayloadTooLarge(EvolventError):
    """The message is larger than the bus carries; store the payload and send a reference. Nothing was sent."""

    code, category = "payload.too_large", Category.VALIDATION


class BusUnavailable(EvolventError):
    """The NATS server did not answer in time; the message may or may not be stored, so send it again as it is."""

    code, category, retryable = "bus.unavailable", Category.NETWORK, True


class NoResponders(EvolventError):
    """No service listens on this subject; start it (`evolvent up`) and try again. Nothing was done."""

    code, category, retryable = "bus.no_responders", Category.NETWORK, True


class CallTimeout(EvolventError):
    """The service did not answer before the deadline; its work may or may not have happened."""

    code, category, retryable = "call.timeout", Category.TIMEOUT, True


class FenceLost(EvolventError):
    """Somebody else has appended to this run since we last read it. Our event was not stored."""

    code, category, retryable = "journal.fence_lost", Category.SYSTEM, True


class NotFound(EvolventError):
    """There is no such thing; list what exists and check the name. Nothing was changed."""

    code, category = "not_found", Category.VALIDATION


class Conflict(EvolventError):
    """Somebody changed this at the same time; read it again and repeat. Nothing was changed."""

    code, category, retryable = "conflict", Category.VALIDATION, True


class BudgetExceeded(EvolventError):
    """No budget left for this goal; raise it (`evolvent budget set`) or wait for the daily reset. Nothing is held."""

    code, category = "budget.exceeded", Category.RESOURCE


class PriceUnknown(EvolventError):
    """This model has no known price; name one in the setting `prices`. Nothing was spent."""

    code, category = "price.unknown", Category.RESOURCE


class PermissionDenied(EvolventError):
    """This is not allowed; ask the operator for the right named in the message. Nothing was done."""

    code, category = "permission.denied", Category.PERMISSION


class ConfigInvalid(EvolventError):
    """The configuration cannot be used; `evolvent doctor` lists every problem with its remedy."""

    code, category = "config.invalid", Category.VALIDATION
