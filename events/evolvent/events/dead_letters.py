"""What cannot be handled is kept aside, raw, with the reason in its headers; then its stream goes on."""

from __future__ import annotations

from evolvent.events import subjects
from evolvent.events.bus import Delivery
from evolvent.events.errors import ErrorInfo
from evolvent.events.messages.platform import DeadLettered
from evolvent.events.service import Service


async def bury(service: Service, delivery: Delivery, stream: str, error: ErrorInfo, *, run_id: str = "") -> None:
    """Keep a delivery in DEAD_LETTERS, tell of it, and end its redelivery."""
    headers = {
        "Evolvent-Reason": error.message.replace("\n", " ").encode("ascii", "replace").decode()[:400],
        "Evolvent-Error-Code": error.code,
        "Evolvent-Subject": delivery.subject,
        "Evolvent-Sequence": str(delivery.sequence),
        "Evolvent-Run-Id": run_id,
    }
    await service.bus.append(subjects.dead(stream), delivery.data, headers=headers)
    await service.emit(
        DeadLettered(
            **service.envelope(run_id=run_id or None),
            stream=stream,
            sequence=delivery.sequence,
            subject=delivery.subject,
            error=error,
        )
    )
    await delivery.term(error.code)
    service.log.warning(
        "dead-lettered", stream=stream, sequence=delivery.sequence, code=error.code, reason=error.message
    )
