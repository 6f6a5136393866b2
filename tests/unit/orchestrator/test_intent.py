"""Which workflow a message means, or none; measured on public data where it is."""

from __future__ import annotations

import gzip
import json
import os
from pathlib import Path

import pytest

from evolvent.orchestrator.routing.intent import IntentDetectionEngine

EXAMPLES = {
    "missing_data": ["why is my data missing", "events do not show up in the index", "I cannot find last night's logs"],
    "slow_search": ["searches are slow", "why does it take so long to search", "analyse the performance of the system"],
    "health_check": ["is everything healthy", "run a health check", "check that the log source works"],
}
DATA = Path(os.environ.get("EVOLVENT_DATA", Path(__file__).resolve().parents[4] / "data")) / "clinc150"


def test_a_message_like_an_example_means_its_intent() -> None:
    engine = IntentDetectionEngine(0.7, EXAMPLES)
    found = engine.analyze_intent("Why is the data of index main missing?")
    assert found.primary_intent == "missing_data"
    assert found.confidence >= 0.7 > found.runner_up_confidence
    assert engine.analyze_intent("please run a health check now").primary_intent == "health_check"


@pytest.mark.parametrize(
    "message", ["", "hello", "what is the weather in Rome", "write a poem about the sea", "为什么"]
)
def test_what_is_like_none_of_them_means_none(message: str) -> None:
    assert IntentDetectionEngine(0.7, EXAMPLES).analyze_intent(message).primary_intent is None


def test_what_is_as_much_like_two_means_none() -> None:
    engine = IntentDetectionEngine(0.7, {"a": ["book a flight to Rome"], "b": ["cancel a flight to Rome"]})
    found = engine.analyze_intent("a flight to Rome")
    assert found.primary_intent is None
    assert {found.likeliest, found.runner_up} == {"a", "b"}


def test_the_threshold_decides() -> None:
    message = "my data is gone missing since the upgrade of yesterday evening"
    assert IntentDetectionEngine(0.99, EXAMPLES).analyze_intent(message).primary_intent is None
    assert IntentDetectionEngine(0.1, EXAMPLES).analyze_intent(message).primary_intent == "missing_data"


def test_without_intents_everything_means_none() -> None:
    assert IntentDetectionEngine().analyze_intent("anything").primary_intent is None


@pytest.mark.skipif(not DATA.is_dir(), reason="the public data set CLINC150 is not beside the project")
def test_of_messages_in_and_out_of_scope_one_in_fifty_of_those_served_is_wrong() -> None:
    """Every tenth request of the test set, out-of-scope ones at their rate in it."""
    data = json.loads(gzip.decompress((DATA / "data_full.json.gz").read_bytes()))
    examples: dict[str, list[str]] = {}
    for text, label in data["train"]:
        examples.setdefault(label, []).append(text)
    engine = IntentDetectionEngine(0.7, examples)
    asked = [*data["test"][::10], *data["oos_test"][::10]]
    served = [(found, label) for text, label in asked if (found := engine.analyze_intent(text).primary_intent)]
    wrong = sum(found != label for found, label in served)
    assert len(served) >= 0.25 * len(data["test"][::10])
    assert wrong <= 0.02 * len(served)
