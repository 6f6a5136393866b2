"""What the client says of runs, and what it asks of its feedback."""

from __future__ import annotations

import asyncio
import uuid
from abc import ABC, abstractmethod

from evolvent.events import subjects
from evolvent.events.errors import BusUnavailable, CallTimeout, NoResponders, RemoteError
from evolvent.events.messages.commands import Feedback
from evolvent.events.messages.opinions import OpinionList, OpinionQuery, OpinionRow, OpinionsQuery
from evolvent.events.nats_bus import NatsBus
from evolvent.events.subjects import LAST_RUN, Verb

_CALL_SECONDS = 5.0
_AGAIN_SECONDS = 0.1


class FeedbackCalls(ABC):
    """The part of the client that speaks of feedback."""

    @property
    @abstractmethod
    def bus(self) -> NatsBus:
        """The connection."""

    async def improve(
        self,
        text: str = "Make it better",
        *,
        run_id: str | None = None,
        rating: int | None = None,
        user_id: str | None = None,
    ) -> str:
        """Say how a run, by default the user's last one, could have been better; return the feedback's id.

        A rating of 1 or 2, or words that say that it was wrong, dispute the run: what served it leaves service.
        """
        feedback_id = str(uuid.uuid4())
        said = Feedback(text=text, rating=rating, user_id=user_id, feedback_id=feedback_id)
        await self.bus.append(subjects.command(Verb.FEEDBACK, run_id or LAST_RUN), said.encode())
        return feedback_id

    async def hear_of(self, feedback_id: str, *, timeout_seconds: float = 5.0) -> OpinionRow | None:
        """Wait until something came of feedback, and return it; None where nothing is heard of it in time."""
        found: OpinionRow | None = None
        try:
            async with asyncio.timeout(timeout_seconds):
                while found is None or found.status == "received":
                    try:
                        found = await self.show_feedback(feedback_id)
                    except RemoteError as error:
                        if error.info().code != "not_found":
                            raise
                    await asyncio.sleep(_AGAIN_SECONDS)
        except (TimeoutError, NoResponders, CallTimeout, BusUnavailable):
            pass
        return found

    async def show_feedback(self, feedback_id: str) -> OpinionRow:
        """Return feedback of this client's and what came of it.

        Raises:
            RemoteError: there is no such feedback, or it has not arrived yet.
        """
        query = OpinionQuery(feedback_id=feedback_id)
        data = await self.bus.call(subjects.opinions("show"), query.encode(), timeout_seconds=_CALL_SECONDS)
        return OpinionRow.decode(data)

    async def list_feedback(self, *, status: str | None = None, limit: int = 50) -> tuple[OpinionRow, ...]:
        """Return this client's feedback, the latest first; an operator gets everybody's."""
        query = OpinionsQuery(status=status, limit=limit)
        data = await self.bus.call(subjects.opinions("list"), query.encode(), timeout_seconds=_CALL_SECONDS)
        return OpinionList.decode(data).opinions
