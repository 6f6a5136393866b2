"""Commands: what people and systems say about runs, on `evolvent.commands.<verb>.<run_id>`.

The body is JSON and every field is optional; who says it is the authenticated principal.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import ConfigDict, Field

from evolvent.events.envelope import Message


class Command(Message):
    """What every command may carry. `user_id` is a label under the principal."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    user_id: str | None = Field(default=None, max_length=256)


class Cancel(Command):
    """Stop this run."""

    reason: str | None = Field(default=None, max_length=2000)


class Answer(Command):
    """Approve or deny (the verb says which) what a suspended run waits for; `task_id` names one approval of several."""

    task_id: str | None = Field(default=None, max_length=200)
    outcome: Literal["happened", "did_not_happen", "failed"] | None = None
    result: Any = None
    note: str | None = Field(default=None, max_length=2000)


class Feedback(Command):
    """Make this run better; by default, the user's last one."""

    text: str = Field(default="Make it better", max_length=10_000)
    rating: int | None = Field(default=None, ge=1, le=5)
    feedback_id: str | None = Field(default=None, min_length=1, max_length=64)
    """An id of the speaker's own, by which they may ask what came of it; said twice, it is stored once."""


class Outcome(Command):
    """Whether the run did, in the world, what was wanted."""

    ok: bool
    note: str | None = Field(default=None, max_length=2000)
