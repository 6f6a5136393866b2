"""What can go wrong between us and a database."""

from __future__ import annotations

from evolvent.events.errors import Category, EvolventError


class StorageUnavailable(EvolventError):
    """The database does not answer or stays locked; check that it runs and try again. Nothing was committed."""

    code, category, retryable = "storage.unavailable", Category.RESOURCE, True


class StorageFull(EvolventError):
    """The disk under the database is full; free space and try again. Nothing was committed."""

    code, category, retryable = "storage.full", Category.RESOURCE, True


class StorageClosed(EvolventError):
    """The database was closed while this waited; start the platform again. Nothing was committed."""

    code, category, retryable = "storage.closed", Category.SYSTEM, True


class StorageRefused(EvolventError):
    """The database refused this statement; report it with the log line. Nothing was committed."""

    code, category = "storage.refused", Category.SYSTEM


class CorruptRecord(EvolventError):
    """A stored record cannot be read; restore it from a backup. Other records are not affected."""

    code, category = "storage.corrupt_record", Category.SYSTEM


class SchemaTooNew(EvolventError):
    """The database was written by a newer Evolvent; upgrade this one. Nothing was changed."""

    code, category = "storage.schema_too_new", Category.VALIDATION


class AgentLimitReached(EvolventError):
    """This goal has as many agents as it may; retire some or raise `max_agents`. Nothing was stored."""

    code, category = "budget.agents", Category.RESOURCE
