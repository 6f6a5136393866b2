"""The retail world's records: public data, looked for beside the project or where EVOLVENT_DATA says."""

from __future__ import annotations

import copy
import functools
import gzip
import json
from pathlib import Path
from typing import Any

from support.learning_bed import public_data
from support.learning_bed.database import Base
from support.learning_bed.public_data import public_path

NAME = "retail"
DRIFTS = ("frozen_accounts", "renamed_status", "new_item_ids")


def data_folder(data: Path | None = None) -> Path:
    """The folder of the retail data.

    Raises:
        DataAbsent: If it is not there.
    """
    return public_path("retail/requests.jsonl.gz", data).parent


def is_there() -> bool:
    """Say whether the data is here."""
    return public_data.is_there("retail/requests.jsonl.gz")


def base(seed: int = 0, drift: str | None = None) -> Base:
    """The start database, or one that has drifted: always the same records, whatever the seed."""
    del seed
    return _drifted(data_folder(), drift) if drift else _start(data_folder())


@functools.cache
def _start(folder: Path) -> Base:
    return Base({name: _table(folder / "db" / f"{name}.json.gz") for name in ("orders", "products", "users")})


@functools.cache
def _drifted(folder: Path, drift: str) -> Base:
    """Change what the tools find, so that what was right before may no longer be.

    frozen_accounts: a third of the users have an open dispute: none of their orders may be changed.
    renamed_status: pending orders are called `open` now, and can no longer be changed.
    new_item_ids: every variant has another id and another place in its list.
    """
    tables: dict[str, dict[str, Any]] = copy.deepcopy({k: dict(v) for k, v in _start(folder).tables.items()})
    match drift:
        case "frozen_accounts":
            for order in tables["orders"].values():
                user = tables["users"].get(order["user_id"], {})
                if len(user.get("email", "")) % 3 == 0:
                    order["status"] = "disputed"
        case "renamed_status":
            for order in tables["orders"].values():
                if order["status"] == "pending":
                    order["status"] = "open"
        case "new_item_ids":
            _renumber(tables)
        case _:
            raise ValueError(f"retail knows no drift {drift!r}; there are {', '.join(DRIFTS)}")
    return Base(tables, drift=drift)


def _renumber(tables: dict[str, dict[str, Any]]) -> None:
    for product in tables["products"].values():
        variants = {}
        for item_id, variant in reversed(product["variants"].items()):
            variants[_other_id(item_id)] = {**variant, "item_id": _other_id(item_id)}
        product["variants"] = variants
    for order in tables["orders"].values():
        for item in order["items"]:
            item["item_id"] = _other_id(item["item_id"])
        for parcel in order["fulfillments"]:
            parcel["item_ids"] = [_other_id(item_id) for item_id in parcel["item_ids"]]


def _other_id(item_id: str) -> str:
    return item_id[::-1]


def _table(path: Path) -> dict[str, Any]:
    with gzip.open(path, "rt", encoding="utf-8") as file:
        table: dict[str, Any] = json.load(file)
    return table
