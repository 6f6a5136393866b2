"""Transformation documents: what is done to a task's output before others see it. `transforms.py` does it."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

Operator = Literal["equals", "not_equals", "greater_than", "less_than", "in", "contains", "exists"]
Aggregation = Literal["sum", "count", "avg", "min", "max", "group_by"]


class _Step(BaseModel):
    """`path` says which part of the output is meant, which the result then replaces; empty means all of it."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    path: str = Field(default="", max_length=500)


class Filter(_Step):
    """Keep the items whose paths meet all criteria: `{"status": {"equals": "active"}}`."""

    type: Literal["filter"] = "filter"
    criteria: dict[str, dict[Operator, Any]] = Field(min_length=1)


class Map(_Step):
    """Rename the fields of every item: `{"old.path": "new_name"}`. Fields that are not named are left out."""

    type: Literal["map"] = "map"
    mapping: dict[str, str] = Field(min_length=1)


class Aggregate(_Step):
    """Make one value of many items.

    `field` is the path of the number in each item; without it the items are the numbers, or all numeric fields of
    the items are meant. `group_by` is the path of a key: the result is then an object of one aggregate for each
    key. The type `group_by` keeps the items themselves.
    """

    type: Literal["aggregate"] = "aggregate"
    aggregate_type: Aggregation
    field: str | None = Field(default=None, max_length=500)
    group_by: str | None = Field(default=None, max_length=500)

    @model_validator(mode="after")
    def _has_key(self) -> Aggregate:
        if self.aggregate_type == "group_by" and not (self.group_by or self.field):
            raise ValueError("names no key: say group_by")
        return self


class JMESPath(_Step):
    """Whatever the other three cannot say, as a JMESPath expression."""

    type: Literal["jmespath"] = "jmespath"
    expression: str = Field(min_length=1, max_length=2_000)


Transformation = Annotated[Filter | Map | Aggregate | JMESPath, Field(discriminator="type")]
