"""Pure: what somebody said of a run, as it is kept, told of and answered."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import datetime

from evolvent.events.bus import Delivery
from evolvent.events.messages.calls import FeedbackCall, FeedbackReply
from evolvent.events.messages.commands import Feedback
from evolvent.events.messages.platform import FeedbackReceived
from evolvent.events.principal import principal_of
from evolvent.events.subjects import LAST_RUN, parse_command
from evolvent.storage.improvements import StoredFeedback

_NAMESPACE = uuid.UUID("2b0a4d52-9a7e-5c34-8c55-0d9b2f6f4e77")


def own_id(principal: str, feedback_id: str) -> str:
    """Return the id under which feedback is stored that brought one of its own: nobody can take another's."""
    return str(uuid.uuid5(_NAMESPACE, f"{principal}:{feedback_id}"))


@dataclass(frozen=True, slots=True)
class Opinion:
    """Feedback as it came: `run` is a run_id, or `_` for the last run of whoever speaks."""

    feedback_id: str
    run: str
    principal: str
    user_id: str | None
    text: str
    rating: int | None
    said_at: datetime


def command_id(delivery: Delivery) -> str:
    """Return an id that is the same at every delivery of a command, and no other's."""
    return str(uuid.uuid5(_NAMESPACE, f"{delivery.stored_at.isoformat()}:{delivery.sequence}"))


def opinion_of_command(delivery: Delivery) -> Opinion:
    """Read feedback from the bus; an empty body is the shortest form of it.

    Raises:
        InvalidMessage, InvalidSubject: naming what is wrong.
    """
    _, run = parse_command(delivery.subject)
    said = Feedback.decode(delivery.data or b"{}")
    principal = principal_of(delivery.subject)
    return Opinion(
        feedback_id=own_id(principal, said.feedback_id) if said.feedback_id else command_id(delivery),
        run=run,
        principal=principal,
        user_id=said.user_id,
        text=said.text,
        rating=said.rating,
        said_at=delivery.stored_at,
    )


def opinion_of_call(call: FeedbackCall, *, new_id: str, now: datetime) -> Opinion:
    """Read feedback that came by call."""
    return Opinion(
        feedback_id=call.feedback_id or new_id,
        run=call.run_id or LAST_RUN,
        principal=call.principal,
        user_id=call.user_id,
        text=call.text,
        rating=call.rating,
        said_at=now,
    )


def stored(opinion: Opinion, run_id: str | None) -> StoredFeedback:
    """Return what is kept. Where no run was found, what was said stands in its place."""
    return StoredFeedback(
        feedback_id=opinion.feedback_id,
        run_id=run_id or opinion.run,
        user_id=opinion.user_id,
        principal=opinion.principal,
        text=opinion.text,
        rating=opinion.rating,
        created_at=opinion.said_at,
    )


def received(opinion: Opinion, run_id: str, *, source: str, now: datetime) -> FeedbackReceived:
    """Return what the platform is told. Its event_id is the feedback's, so that told twice is known as once."""
    return FeedbackReceived(
        event_id=opinion.feedback_id,
        run_id=run_id,
        correlation_id=run_id,
        occurred_at=now,
        source=source,
        feedback_id=opinion.feedback_id,
        user_id=opinion.user_id,
        principal=opinion.principal,
        text=opinion.text,
        rating=opinion.rating,
    )


def answer(opinion: Opinion, run_id: str, came: StoredFeedback | None) -> FeedbackReply:
    """Return what the user is told; what was stored before came of nothing new."""
    if came is None:
        return FeedbackReply(feedback_id=opinion.feedback_id, run_id=run_id, status="known")
    return FeedbackReply(feedback_id=opinion.feedback_id, run_id=run_id, status=came.status, detail=came.detail)
