"""The sections of the report that need no platform, in the order in which they are run."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from benchmarks.parts.learning import baselines, dialogues, overhead, safety
from benchmarks.parts.learning.profiles import PROFILES, Profile
from benchmarks.parts.learning.replay import Replay, figures, of_first, of_learnt_kinds, split, together
from benchmarks.parts.learning.rows import Row, Values
from support.learning_bed import airline, beds
from support.learning_bed.bed import Bed
from support.learning_bed.requests import BedRequest
from support.learning_bed.retail import world as shop_world
from support.learning_bed.served import Tally

PUBLIC = "public_retail"
Tell = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Plan:
    """How much is measured. Everything follows from the seed.

    Attributes:
        count: Requests of each bed; None are all that a bed has (public: 250; own: 300).
        shuffles: Orders in which the public requests are gone through from nothing.
        splits: Halvings of each bed, one half learnt from and the other served.
        redrawn: Shop requests drawn anew, served with what 300 others taught.
        negatives: Edited requests of each bed.
        templates, runs: Sizes at which matching and the learner are measured.
        scopes: Agents that the learner's runs are spread over.
        live: Requests of each bed through a platform; 0 leaves it out.
    """

    profiles: tuple[Profile, ...] = tuple(PROFILES.values())
    beds: tuple[str, ...] = ()
    seed: int = 0
    count: int | None = None
    shuffles: int = 5
    splits: int = 10
    redrawn: int = 2500
    negatives: int = 3000
    templates: tuple[int, ...] = (100, 10_000)
    runs: tuple[int, ...] = (10_000, 100_000)
    scopes: int = 50
    live: int = 250
    match_calls: int = 4000

    def quick(self) -> Plan:
        """Less of everything: for a look, and to be sure that nothing is broken."""
        names = self.beds[-1:] if PUBLIC not in self.beds else (PUBLIC,)
        found = replace(self, profiles=self.profiles[:1], beds=names, count=self.count or 40, shuffles=1, splits=1)
        found = replace(found, redrawn=40, negatives=70, templates=(100, 1000), match_calls=500)
        return replace(found, runs=(200,), scopes=1, live=20)


def there() -> tuple[str, ...]:
    """The beds that can be used here; the public requests first."""
    return (*((PUBLIC,) if shop_world.is_there() else ()), *beds.domains())


def made(name: str, plan: Plan) -> Bed:
    """A bed of the plan."""
    if name == PUBLIC:
        return of_first(beds.shuffled(beds.public_retail(), seed=plan.seed), plan.count)
    return beds.bed(name, seed=plan.seed, count=plan.count or 300)


def cold(plan: Plan, tell: Tell) -> Iterator[Row]:
    """From nothing, each bed once, and the public requests in several orders."""
    for profile in plan.profiles:
        for name in plan.beds:
            several = name == PUBLIC and profile.auto_promote == "writes"
            for seed in range(plan.seed, plan.seed + (plan.shuffles if several else 1)):
                tell(f"cold start of {name}, {profile.name}, order {seed}")
                yield _cold(replace_seed(name, plan, seed), profile, seed)


def replace_seed(name: str, plan: Plan, seed: int) -> Bed:
    """The bed in another order: the same public requests, or others drawn."""
    return made(name, replace(plan, seed=seed))


def _cold(bed: Bed, profile: Profile, seed: int) -> Row:
    replay = Replay(bed, profile)
    first, second = replay.cold()
    values = figures(together((first, second)), second) | {
        "unlooked": replay.unlooked,
        "held_back": replay.held_back,
        "learner_ms_per_run": round(replay.learner_cpu / max(1, replay.runs) * 1e3, 2),
    }
    return Row("cold", "offline", values, profile.name, bed.name, seed, _examples(together((first, second))))


def frozen(plan: Plan, tell: Tell) -> Iterator[Row]:
    """Learn from half of a bed, serve the other half, learn nothing meanwhile."""
    for profile in plan.profiles:
        for name in plan.beds:
            several = name == PUBLIC and profile.auto_promote == "writes"
            for seed in range(plan.seed, plan.seed + (plan.splits if several else 1)):
                tell(f"frozen split of {name}, {profile.name}, split {seed}")
                bed = made(name, plan)
                learnt, asked = split(bed, seed)
                yield _frozen("frozen", Replay(bed, profile), learnt, asked, seed)


def redrawn(plan: Plan, tell: Tell) -> Iterator[Row]:
    """Learn from shop requests drawn over its records, serve many others of the same grammar."""
    if shop_world.is_there():
        for profile in plan.profiles:
            tell(f"shop requests drawn anew, {profile.name}")
            first = plan.count or 300
            bed = beds.bed(shop_world.NAME, seed=plan.seed, count=first + plan.redrawn)
            learnt, asked = bed.requests[:first], bed.requests[first:]
            yield _frozen("redrawn", Replay(bed, profile), learnt, asked, plan.seed)


def _frozen(
    section: str, replay: Replay, learnt: tuple[BedRequest, ...], asked: tuple[BedRequest, ...], seed: int
) -> Row:
    replay.teach(learnt)
    tally = replay.frozen(asked)
    known = of_learnt_kinds(learnt, asked)
    of_known = Replay(replay.bed, replay.profile)
    of_known.serving = replay.serving
    values = figures(tally) | {
        "of_learnt_kinds": len(known),
        "served_of_learnt_kinds_share": round(of_known.frozen(known).served / len(known), 4) if known else None,
        "unlooked": replay.unlooked,
        "held_back": replay.held_back,
    }
    return Row(section, "offline", values, replay.profile.name, replay.bed.name, seed, _examples(tally))


def others(plan: Plan, tell: Tell) -> Iterator[Row]:
    """The baselines, on the same requests in the same order."""
    for name in plan.beds:
        bed = made(name, plan)
        tell(f"baselines on {name}")
        for threshold in baselines.THRESHOLDS:
            yield Row("semantic_cache", "offline", baselines.semantic_cache(bed, threshold), "", name, plan.seed)
        for knows in (False, True):
            values = baselines.plan_cache(bed, knows_intents=knows)
            yield Row("plan_cache", "offline", values, "", name, plan.seed)


def taught(plan: Plan, tell: Tell) -> Iterator[Replay]:
    """Every bed with all that its requests teach, under the first profile."""
    for name in plan.beds:
        bed = made(name, plan)
        tell(f"learning from all requests of {name}")
        replay = Replay(bed, plan.profiles[0])
        replay.teach(bed.requests)
        yield replay


def negatives(plan: Plan, replays: Sequence[Replay], tell: Tell) -> Iterator[Row]:
    """Requests edited so that serving them would be wrong."""
    for replay in replays:
        tell(f"{plan.negatives} negatives of {replay.bed.name}")
        yield safety.negatives(replay.bed, replay, count=plan.negatives, seed=plan.seed)


def costs(plan: Plan, replays: Sequence[Replay], tell: Tell) -> Iterator[Row]:
    """Matching and the learner at size."""
    tell(f"matching among {plan.templates} templates")
    yield from overhead.matching(replays, plan.templates, seed=plan.seed, calls=plan.match_calls)
    tell(f"the learner at {plan.runs} runs")
    yield from overhead.learner(replays, plan.runs, seed=plan.seed, scopes=plan.scopes)


def recorded(tell: Tell) -> Iterator[Row]:
    """What recorded dialogues show; nothing where they are not here."""
    if airline.is_there():
        tell("recorded dialogues")
        yield dialogues.shapes()
        yield dialogues.full_serves()
        yield dialogues.prefetching()


def _examples(tally: Tally) -> Values:
    """Some of what went wrong, and why requests were left to the agent most often."""
    wrong: Values = {f"wrong_{at}": text for at, text in enumerate(tally.wrong_ones[:3])}
    reasons = enumerate(tally.reasons.most_common(4))
    return wrong | {f"abstained_{at}": f"{count} x {reason}" for at, (reason, count) in reasons}
