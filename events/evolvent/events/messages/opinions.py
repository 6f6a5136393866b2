"""What principals ask of their feedback: what became of it. Said on `evolvent.improvement.opinions.<verb>`."""

from __future__ import annotations

from pydantic import Field

from evolvent.events.envelope import Message


class OpinionsQuery(Message):
    """improvement.opinions.list: the speaker's own feedback, latest first; an operator gets everybody's."""

    status: str | None = Field(default=None, max_length=40)
    limit: int = Field(default=50, gt=0, le=500)


class OpinionQuery(Message):
    """improvement.opinions.show: which. The id that came with the feedback, or the stored one."""

    feedback_id: str = Field(min_length=1, max_length=64)


class OpinionRow(Message):
    """Feedback and what came of it.

    `status` is received, noted, suspended (automations were taken out of service), proposing, proposed (a person has
    to decide), applied, declined or failed; `detail` says it in a sentence, `target` what it is about.
    """

    feedback_id: str
    run_id: str
    principal: str
    user_id: str | None = None
    text: str
    rating: int | None = None
    is_dispute: bool = False
    status: str
    detail: str = ""
    target: str = ""
    improver_run: str | None = None
    created_at: str


class OpinionList(Message):
    """What improvement.opinions.list gives."""

    opinions: tuple[OpinionRow, ...] = ()
