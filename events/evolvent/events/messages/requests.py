"""The request: what anybody who may publish can ask the platform to do."""

from __future__ import annotations

import hashlib
from typing import Any

from pydantic import ConfigDict, Field, field_validator

from evolvent.events.envelope import Message
from evolvent.events.errors import InvalidMessage
from evolvent.events.streams import MAX_REQUEST_BYTES
from evolvent.events.subjects import is_run_id


class Request(Message):
    """A request on `evolvent.requests.<priority>.<goal>`; only `message` is needed, or `workflow`.

    `workflow` is a name, or NAME@VERSION, and `parameters` what it takes. `resume` names the
    suspension that this request ends; it is set by the platform only.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    message: str = Field(default="", max_length=200_000)
    context: dict[str, Any] = {}
    workflow: str | None = Field(default=None, max_length=200)
    parameters: dict[str, Any] = {}
    agent_id: str | None = None
    user_id: str | None = Field(default=None, max_length=256)
    session_id: str | None = Field(default=None, max_length=256)
    run_id: str | None = None
    timeout_seconds: float | None = Field(default=None, gt=0, le=30 * 24 * 3600)
    stream: bool = False
    causation_id: str | None = None
    resume: int | None = None

    @field_validator("run_id")
    @classmethod
    def _canonical(cls, value: str | None) -> str | None:
        if value is not None and not is_run_id(value):
            raise ValueError("must be a UUID in lower case with dashes, or left out")
        return value


def read_request(data: bytes) -> Request:
    """Read a request.

    Raises:
        InvalidMessage: naming the fields that are wrong or unknown; or that there is no message.
    """
    from_wire = Request.decode(data, max_bytes=MAX_REQUEST_BYTES)
    if not from_wire.message.strip() and from_wire.resume is None and from_wire.workflow is None:
        raise InvalidMessage('A request needs a message: {"message": "..."}.')
    return from_wire


def request_hash(data: bytes) -> str:
    """Return the hash by which a second request with the same run_id is known to be the same or not."""
    return hashlib.sha256(data).hexdigest()[:32]
