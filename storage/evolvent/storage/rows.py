"""The three families of row classes, one for each database, each with a schema of its own."""

from __future__ import annotations

from sqlalchemy import MetaData, Text
from sqlalchemy.orm import registry
from sqlmodel import SQLModel

_NAMES = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s",
    "pk": "pk_%(table_name)s",
}
LONG = Text


class RecordsRow(SQLModel, registry=registry(metadata=MetaData(naming_convention=_NAMES))):
    """A row of what happened: runs, events, commands, feedback."""


class LedgerRow(SQLModel, registry=registry(metadata=MetaData(naming_convention=_NAMES))):
    """A row of money."""


class DefinitionsRow(SQLModel, registry=registry(metadata=MetaData(naming_convention=_NAMES))):
    """A row of what is defined: agents and what is built of them."""
