"""The intents of the stored workflows, as they were at most two seconds ago; made anew only when one has changed."""

from __future__ import annotations

from evolvent.events.clock import Clock
from evolvent.events.language.workflow import Workflow
from evolvent.orchestrator.routing.intent import CONFIDENCE_THRESHOLD, IntentDetectionEngine
from evolvent.storage.workflows import WorkflowStore

FRESH_SECONDS = 2.0
_MOST_WORKFLOWS = 1_000


class IntentDesk:
    """Knows what the workflows say about the messages that they are meant for."""

    def __init__(
        self, workflows: WorkflowStore, clock: Clock, *, confidence_threshold: float = CONFIDENCE_THRESHOLD
    ) -> None:
        self._workflows = workflows
        self._clock = clock
        self._threshold = confidence_threshold
        self._examples: dict[str, tuple[str, tuple[str, ...]]] = {}
        self._engine = IntentDetectionEngine(confidence_threshold)
        self._at = -FRESH_SECONDS

    async def engine(self) -> IntentDetectionEngine:
        """Return the engine that knows the current versions."""
        now = self._clock.monotonic()
        if now - self._at < FRESH_SECONDS:
            return self._engine
        self._at = now
        hashes = await self._workflows.current_hashes(most=_MOST_WORKFLOWS)
        if hashes == {name: known[0] for name, known in self._examples.items()}:
            return self._engine
        kept = {name: known for name, known in self._examples.items() if hashes.get(name) == known[0]}
        for name in hashes.keys() - kept.keys():
            kept[name] = (hashes[name], intents_of((await self._workflows.get(name)).workflow))
        self._examples = kept
        examples = {name: texts for name, (_, texts) in kept.items() if texts}
        self._engine = IntentDetectionEngine(self._threshold, examples)
        return self._engine


def intents_of(workflow: Workflow) -> tuple[str, ...]:
    """Return the messages that a workflow says it is meant for, its title among them; one that says none has none.

    A workflow that nobody gave examples may do anything, so that no message may start it by chance.
    """
    if not workflow.intents:
        return ()
    return (*workflow.intents, workflow.title or workflow.name.replace("_", " "))
