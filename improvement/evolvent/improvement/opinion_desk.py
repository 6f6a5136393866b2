"""Answers principals who ask what became of their feedback. Who speaks without a name is an operator, and sees all."""

from __future__ import annotations

from evolvent.events import subjects
from evolvent.events.bus import Call
from evolvent.events.errors import InvalidSubject, NotFound
from evolvent.events.messages.opinions import OpinionList, OpinionQuery, OpinionRow, OpinionsQuery
from evolvent.events.principal import ANONYMOUS, principal_of
from evolvent.improvement.feedback import own_id
from evolvent.storage.database import Database
from evolvent.storage.improvements import ImprovementStore, StoredFeedback


class OpinionDesk:
    """The endpoint of feedback, at any instance."""

    def __init__(self, records: Database) -> None:
        self._said = ImprovementStore(records)

    async def answer(self, call: Call) -> bytes:
        """Answer what was asked.

        Raises:
            InvalidSubject: it is none of the verbs.
            NotFound: the speaker has no such feedback.
        """
        verb, principal = subjects.parse_opinions(call.subject), principal_of(call.subject)
        own = None if principal == ANONYMOUS else principal
        if verb == "list":
            query = OpinionsQuery.decode(call.data or b"{}")
            found = await self._said.feedback(principal=own, status=query.status, limit=query.limit)
            return OpinionList(opinions=tuple(_row(each) for each in found)).encode()
        if verb == "show":
            asked = OpinionQuery.decode(call.data).feedback_id
            for feedback_id in (own_id(principal, asked), asked):
                if found := await self._said.feedback(feedback_id=feedback_id, principal=own):
                    return _row(found[0]).encode()
            raise NotFound(f"You gave no feedback {asked!r}, or it is on its way; `evolvent feedback list` shows it.")
        raise InvalidSubject(f"{verb!r} is nothing to ask of feedback; use list or show.")


def _row(said: StoredFeedback) -> OpinionRow:
    return OpinionRow(
        feedback_id=said.feedback_id,
        run_id=said.run_id,
        principal=said.principal,
        user_id=said.user_id,
        text=said.text[:2000],
        rating=said.rating,
        is_dispute=said.is_dispute,
        status=said.status,
        detail=said.detail,
        target=said.target,
        improver_run=said.improver_run,
        created_at=said.created_at.isoformat(),
    )
