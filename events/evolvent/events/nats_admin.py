"""What operators and start-up do to a NATS server: make streams and consumers match, look at them, purge them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import nats.errors
import nats.js.errors
from nats.aio.client import Client
from nats.js.api import (
    AckPolicy,
    ConsumerConfig,
    DiscardPolicy,
    KeyValueConfig,
    RetentionPolicy,
    StorageType,
    StreamConfig,
)

from evolvent.events.errors import BusUnavailable, NotFound
from evolvent.events.streams import LOCKS_BUCKET, STREAMS, DurableSpec, StreamSpec, durables

API_TIMEOUT_SECONDS = 3.0


@dataclass(frozen=True, slots=True)
class ConsumerState:
    """How far a durable consumer is."""

    ack_floor: int
    pending: int
    ack_pending: int
    delivered: int = 0
    """The sequence, in the stream, of the last message that anybody was given."""


@dataclass(frozen=True, slots=True)
class StreamState:
    """What a stream holds."""

    created_at: str
    messages: int
    first_sequence: int
    last_sequence: int
    size_bytes: int


class StreamAdmin:
    """The administration of one connection's account."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._js = client.jetstream(timeout=API_TIMEOUT_SECONDS)

    async def ensure_all(self, *, ack_wait_seconds: float = 10.0, lock_ttl_seconds: float = 15.0) -> None:
        """Make every stream, durable consumer and bucket of Evolvent stand as `streams.py` says."""
        for stream in STREAMS:
            await self.ensure_stream(stream)
        for durable in durables(ack_wait_seconds):
            await self.ensure_durable(durable)
        await self.ensure_bucket(LOCKS_BUCKET, ttl_seconds=lock_ttl_seconds)

    async def stream_state(self, stream: str) -> StreamState:
        """Return what a stream holds.

        Raises:
            NotFound: there is no such stream.
        """
        data = await self._api(f"$JS.API.STREAM.INFO.{stream}", b"")
        state = data["state"]
        return StreamState(
            created_at=data["created"],
            messages=state["messages"],
            first_sequence=state["first_seq"],
            last_sequence=state["last_seq"],
            size_bytes=state["bytes"],
        )

    async def subjects_in(self, stream: str, subject: str) -> dict[str, int]:
        """Return the subjects under a pattern that a stream holds messages of, and how many of each."""
        body = json.dumps({"subjects_filter": subject}).encode()
        data = await self._api(f"$JS.API.STREAM.INFO.{stream}", body)
        return dict(data["state"].get("subjects") or {})

    async def consumer_state(self, stream: str, durable: str) -> ConsumerState:
        """Return how far a durable consumer is."""
        data = await self._api(f"$JS.API.CONSUMER.INFO.{stream}.{durable}", b"")
        return ConsumerState(
            ack_floor=data["ack_floor"]["stream_seq"],
            pending=data["num_pending"],
            ack_pending=data["num_ack_pending"],
            delivered=data["delivered"]["stream_seq"],
        )

    async def purge(self, stream: str, *, below_sequence: int) -> int:
        """Delete everything below a sequence; return how many messages went."""
        data = await self._api(f"$JS.API.STREAM.PURGE.{stream}", json.dumps({"seq": below_sequence}).encode())
        return int(data["purged"])

    async def delete(self, stream: str, sequence: int) -> None:
        """Delete one stored message."""
        await self._api(f"$JS.API.STREAM.MSG.DELETE.{stream}", json.dumps({"seq": sequence}).encode())

    async def ensure_stream(self, spec: StreamSpec) -> None:
        """Create the stream, or change it to match; what it holds stays."""
        config = _stream_config(spec)
        try:
            await self._js.add_stream(config)
        except nats.js.errors.BadRequestError as error:
            if error.err_code != 10058:
                raise BusUnavailable(f"Stream {spec.name}: {error.description}") from error
            await self._js.update_stream(config)
        except (nats.errors.Error, TimeoutError) as error:
            raise BusUnavailable(f"Stream {spec.name}: {error or type(error).__name__}") from error

    async def ensure_durable(self, spec: DurableSpec) -> None:
        """Create the durable consumer, or change it to match; its position stays."""
        config = ConsumerConfig(
            durable_name=spec.name,
            ack_policy=AckPolicy.EXPLICIT,
            ack_wait=spec.ack_wait_seconds,
            max_deliver=spec.max_deliver,
            max_ack_pending=spec.max_ack_pending,
            filter_subject=spec.filter_subjects[0] if len(spec.filter_subjects) == 1 else None,
            filter_subjects=list(spec.filter_subjects) if len(spec.filter_subjects) > 1 else None,
        )
        try:
            await self._js.add_consumer(spec.stream, config)
        except (nats.errors.Error, TimeoutError) as error:
            raise BusUnavailable(f"Consumer {spec.name}: {error or type(error).__name__}") from error

    async def ensure_bucket(self, bucket: str, *, ttl_seconds: float) -> None:
        """Create a key-value bucket whose entries vanish `ttl_seconds` after their last update."""
        await self._js.create_key_value(KeyValueConfig(bucket=bucket, ttl=ttl_seconds, history=1))

    async def _api(self, subject: str, body: bytes) -> dict[str, Any]:
        try:
            reply = await self._client.request(subject, body, timeout=API_TIMEOUT_SECONDS)
        except (nats.errors.Error, TimeoutError) as error:
            raise BusUnavailable(f"{subject}: {error or type(error).__name__}") from error
        data: dict[str, Any] = json.loads(reply.data)
        if "error" in data:
            failure = data["error"]
            if failure.get("code") == 404:
                raise NotFound(f"{subject}: {failure.get('description')}")
            raise BusUnavailable(f"{subject}: {failure.get('description')}")
        return data


def _stream_config(spec: StreamSpec) -> StreamConfig:
    return StreamConfig(
        name=spec.name,
        subjects=list(spec.subjects),
        retention=RetentionPolicy.WORK_QUEUE if spec.retention == "workqueue" else RetentionPolicy.LIMITS,
        max_age=spec.max_age_seconds,
        max_msg_size=spec.max_msg_size,
        max_bytes=spec.max_bytes,
        discard=DiscardPolicy.NEW if spec.discard == "new" else DiscardPolicy.OLD,
        duplicate_window=spec.duplicate_window_seconds,
        storage=StorageType.FILE,
        num_replicas=1,
        allow_direct=True,
    )
