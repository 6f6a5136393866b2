"""Requests on subjects that no consumer takes, such as a misspelt priority: found by a sweep, and dead-lettered."""

from __future__ import annotations

from evolvent.events import subjects
from evolvent.events.bus import Delivery, Stored
from evolvent.events.dead_letters import bury
from evolvent.events.errors import InvalidSubject
from evolvent.events.service import Service
from evolvent.events.streams import REQUESTS

SWEEP_SECONDS = 20.0
_MOST_AT_ONCE = 1000


async def bury_strays(service: Service) -> int:
    """Dead-letter what stands under subjects that are no request's; return how many there were."""
    buried = 0
    for subject in await service.bus.admin.subjects_in(REQUESTS, subjects.ALL_REQUESTS):
        error = _why_not(subject)
        if error is None:
            continue
        async for stored in service.bus.read(REQUESTS, subject):
            await bury(service, _as_delivery(service, stored), REQUESTS, error.info())
            buried += 1
            if buried >= _MOST_AT_ONCE:
                return buried
    return buried


def _why_not(subject: str) -> InvalidSubject | None:
    try:
        subjects.parse_request(subject)
    except InvalidSubject as error:
        return error
    return None


def _as_delivery(service: Service, stored: Stored) -> Delivery:
    """Make a stored message look delivered; to end its delivery is to delete it."""

    async def delete(reply: str, word: bytes) -> None:
        await service.bus.admin.delete(REQUESTS, stored.sequence)

    return Delivery(stored.subject, stored.data, stored.headers, stored.sequence, 0, stored.time, "", delete)
