"""How values stand in columns: UTC moments, and the few types that rows share."""

from __future__ import annotations

from datetime import UTC, datetime

from sqlalchemy import DateTime, Dialect
from sqlalchemy.types import TypeDecorator, TypeEngine


class UtcDateTime(TypeDecorator[datetime]):
    """An aware UTC datetime on every database. SQLite keeps text that sorts by time, Postgres a timestamptz."""

    impl = DateTime
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[datetime]:
        """Choose the column type of the database."""
        return dialect.type_descriptor(DateTime(timezone=dialect.name != "sqlite"))

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Refuse naive datetimes and store UTC."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError(f"{value!r} has no time zone; stored moments are aware.")
        moment = value.astimezone(UTC)
        return moment.replace(tzinfo=None) if dialect.name == "sqlite" else moment

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Give back an aware UTC datetime."""
        return None if value is None else read_moment(value)


def sqlite_moment(value: datetime) -> str:
    """Return the text under which SQLite holds this moment, the same that UtcDateTime writes."""
    if value.tzinfo is None:
        raise ValueError(f"{value!r} has no time zone; stored moments are aware.")
    return value.astimezone(UTC).replace(tzinfo=None).isoformat(" ", "microseconds")


def read_moment(value: str | datetime) -> datetime:
    """Return the aware UTC moment that a raw column holds."""
    moment = datetime.fromisoformat(value) if isinstance(value, str) else value
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def optional_moment(value: str | datetime | None) -> datetime | None:
    """Return the moment, or None where the column is empty."""
    return None if value is None else read_moment(value)


def utc_day(moment: datetime) -> str:
    """Return the UTC day on which money and totals are counted."""
    return moment.astimezone(UTC).date().isoformat()
