"""The pages that are made from the code say what the code says."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from types import ModuleType

import pytest
from pydantic import BaseModel

from evolvent.platform.settings import Settings

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def reference() -> ModuleType:
    spec = importlib.util.spec_from_file_location("build_reference", ROOT / "docs" / "build_reference.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("page", ["configuration.md", "cli.md", "events.md"])
def test_the_page_is_what_the_code_makes_of_it(reference: ModuleType, page: str) -> None:
    made = reference.pages()[page]
    assert (ROOT / "docs" / page).read_text("utf-8") == made, "run `python docs/build_reference.py`"


def test_every_setting_says_what_it_means(reference: ModuleType) -> None:
    def unexplained(model: type[BaseModel]) -> list[str]:
        said, found = reference.meanings(model), []
        for name, field in model.model_fields.items():
            if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
                found += unexplained(field.annotation)
            elif not said.get(name):
                found.append(f"{model.__name__}.{name}")
        return found

    assert unexplained(Settings) == []


def test_every_event_and_command_has_a_meaning_of_its_own(reference: ModuleType) -> None:
    rows = [line.split(" | ") for line in reference.events().splitlines() if line.startswith("| `")]
    assert len(rows) > 100
    blank = [row[0] for row in rows if len(row) > 2 and not row[1].strip()]
    assert blank == []


def test_every_error_says_in_full_sentences_what_happened_and_what_to_do(reference: ModuleType) -> None:
    kinds = reference.every_error()
    assert len(kinds) > 50
    wrong = []
    for kind in kinds:
        sentence = reference.first_line(kind)
        if not re.fullmatch(r"[A-Z].{20,}\.", sentence):
            wrong.append(f"{kind.__name__}: {sentence!r} is no sentence")
        if kind.__doc__ is None:
            wrong.append(f"{kind.__name__} has the docstring of its parent")
    assert wrong == []


def test_an_error_code_is_a_name_that_programs_can_tell_apart(reference: ModuleType) -> None:
    for kind in reference.every_error():
        assert re.fullmatch(r"[a-z_]+(\.[a-z_]+)*", kind.code), kind
