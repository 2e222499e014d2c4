"""Plain words to the structured query they mean: what was understood is shown, what was not is named.

Phrases come from `words.toml` (and from the names of all scenarios, the user's own too). A phrase matches where its words stand together
in any order and with any endings; of phrases that overlap the longest wins. `not`, `no` and `without` negate what follows, `or` joins
two of a kind, `then`, `before` and `after` order in time; numbers bound speed, visibility and rain.
"""

import re
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

from pydantic import JsonValue

from flywheel.errors import BadData
from flywheel.mine.catalogue import catalogue, scenario
from flywheel.types import Level, Record

Kind = Literal["scenario", "condition", "actor", "relation", "level"]
Where = dict[str, JsonValue]
KINDS: tuple[Kind, ...] = ("condition", "scenario", "relation", "actor", "level")
FILLED = "the a an of is are was were be being who that which its it our my us we while during and with in at on by to"
FILLERS = frozenset(FILLED.split())
NEGATIONS = frozenset(("not", "no", "without", "except", "never"))
THEN_S = 10.0
NEAR_M = 10.0
MPS = {"km/h": 1 / 3.6, "kmh": 1 / 3.6, "kph": 1 / 3.6, "mph": 0.44704, "m/s": 1.0}
BOUNDS = {"below": "below", "under": "below", "less than": "below", "above": "above", "over": "above", "more than": "above"}
BOUND = "(below|under|less than|above|over|more than)"
NUMBERS = (
    (rf"(?:speed|driving|going)?\s*{BOUND}\s+(\d+(?:\.\d+)?)\s*(km/h|kmh|kph|mph|m/s)", "speed_mps"),
    (rf"visibility\s*(?:of)?\s*{BOUND}\s+(\d+(?:\.\d+)?)\s*(m)\b(?:et(?:er|re)s?)?", "visibility_m"),
    (rf"(?:rain\s*)?{BOUND}\s+(\d+(?:\.\d+)?)\s*(mm/h)", "rain_mmph"),
)
FASTER = (("faster than", "above"), ("slower than", "below"))
WITHIN = r"within\s+(\d+(?:\.\d+)?)\s*(?:s\b|sec(?:ond)?s?)"
THEN = r"\b(?:and then|then|followed by|and afterwards|afterwards|before|after)\b"


@dataclass(frozen=True)
class Item:
    """A phrase that was understood: what it means, and the words (indices) it took."""

    kind: Kind
    value: str
    at: int
    size: int
    negated: bool = False
    alternative: bool = False  # joined to the item before by `or`


class Step(Record):
    """What holds at one time. Each tuple holds alternatives; `not_*` what must not be."""

    scenarios: tuple[str, ...] = ()
    not_scenarios: tuple[str, ...] = ()
    conditions: tuple[tuple[str, ...], ...] = ()
    not_conditions: tuple[str, ...] = ()
    actors: tuple[str, ...] = ()
    relations: tuple[str, ...] = ()
    not_relations: tuple[str, ...] = ()
    signals: tuple[dict[str, str | float], ...] = ()
    level: Level = "L1"

    @property
    def empty(self) -> bool:
        """Whether nothing was understood."""
        return self == Step()


class Understood(Record):
    """What plain words were taken to mean; `ignored` are the words that meant nothing."""

    text: str
    steps: tuple[Step, ...]
    within_s: float = THEN_S
    ignored: tuple[str, ...] = ()

    @property
    def known(self) -> float:
        """The share of the words, fillers left out, that were understood."""
        return 1 - len(self.ignored) / max(len(stems(self.text)), 1)

    def query(self) -> Where:
        """The structured query; BadData if nothing was understood."""
        steps = [_where(step) for step in self.steps if not step.empty]
        if not steps:
            raise BadData(f"{self.text!r}: understood none of it; name a scenario (`flywheel scenarios`), a condition or a road user")
        return steps[0] if len(steps) == 1 else {"then": [*steps], "within_s": self.within_s}


@lru_cache(maxsize=1)
def words() -> dict[str, dict[str, Any]]:
    """The word list."""
    return tomllib.loads((Path(__file__).parent / "words.toml").read_text())


def stem(word: str) -> str:
    """A word without its ending: braking, brakes, braked and brake are one."""
    if word.endswith("ies") and len(word) > 4:
        return word[:-3] + "y"
    for ending in ("ing", "ers", "er", "ed", "es", "s"):
        if word.endswith(ending) and len(word) - len(ending) >= 3:
            word = word[: -len(ending)]
            break
    word = word[:-1] if len(word) > 3 and word[-1] == word[-2] else word
    return word[:-1] if word.endswith("e") and len(word) > 3 else word


def stems(text: str) -> list[str]:
    """The words of a text without endings and without fillers."""
    return [stem(word) for word in re.findall(r"[a-z0-9]+", text.lower()) if word not in FILLERS]


def phrases() -> tuple[tuple[frozenset[str], Kind, str], ...]:
    """Everything that can be understood, longest first; conditions before scenarios of the same words."""
    return _phrases(tuple(entry.name for entry in catalogue()))


@lru_cache(maxsize=4)
def _phrases(scenarios: tuple[str, ...]) -> tuple[tuple[frozenset[str], Kind, str], ...]:
    said = words()
    known: list[tuple[Kind, str, Iterable[str]]] = [("condition", value, texts) for value, texts in said["conditions"].items()]
    names = {name: said["scenarios"].get(name, {}).get("words", ()) for name in scenarios}
    known += [("scenario", name, (name.replace("_", " "), *texts)) for name, texts in names.items()]
    known += [("relation", value, texts) for value, texts in said["relations"].items()]
    known += [("actor", value, texts) for value, texts in said["actors"].items()]
    known += [("level", value, texts) for value, texts in said["levels"].items()]
    found = [(frozenset(stems(text)), kind, value) for kind, value, texts in known for text in texts]
    return tuple(sorted((item for item in found if item[0]), key=lambda item: (-len(item[0]), KINDS.index(item[1]))))


def understand(text: str) -> Understood:
    """What the words mean, as far as they mean anything here."""
    lowered = text.lower()
    within = re.search(WITHIN, lowered)
    rest, signals = _numbers(lowered.replace(within[0], " ") if within else lowered)
    parts, swaps = _parts(rest)
    steps, ignored = [], []
    for part in parts:
        step, unknown = _step(part)
        steps.append(step)
        ignored += unknown
    if swaps:
        steps.reverse()
    if signals:
        steps[0] = steps[0].model_copy(update={"signals": tuple(signals)})
    return Understood(text=text, steps=tuple(steps), within_s=float(within[1]) if within else THEN_S, ignored=tuple(ignored))


def _parts(text: str) -> tuple[list[str], bool]:
    """The text cut where it orders in time, and whether the later part comes first (`after`); not inside a phrase such as `after dark`."""
    known = phrases()
    for cut in re.finditer(THEN, text):
        before, after = stems(text[: cut.start()]), stems(text[cut.end() :])
        joint = stem(cut[0])
        whole = any(joint in phrase and after[:1] and after[0] in phrase for phrase, _, _ in known)
        if before and after and not whole:
            return [text[: cut.start()], text[cut.end() :]], cut[0] == "after"
    return [text], False


def _numbers(text: str) -> tuple[str, list[dict[str, str | float]]]:
    """The text without its numeric bounds, and the bounds."""
    found: list[dict[str, str | float]] = []
    for phrase, bound in FASTER:
        text = text.replace(phrase, bound)
    for pattern, signal in NUMBERS:
        for match in re.finditer(pattern, text):
            found.append({"signal": signal, BOUNDS[match[1]]: round(float(match[2]) * MPS.get(match[3], 1.0), 3)})
        text = re.sub(pattern, " ", text)
    return text, found


def _items(tokens: list[str]) -> tuple[list[Item], list[int]]:
    """Phrases found among the words, in their order, and the words that belong to none."""
    free, found = set(range(len(tokens))), []
    for phrase, kind, value in (known for known in phrases() if known[0].issubset(tokens)):
        for at in range(len(tokens)):
            for size in {len(phrase), len(phrase) + (len(phrase) > 1)}:
                span = range(at, min(at + size, len(tokens)))
                if tokens[at] in phrase and phrase <= {tokens[k] for k in span} and free.issuperset(span):
                    took = [k for k in span if tokens[k] in phrase]
                    free -= set(took)
                    found.append(Item(kind, value, at, took[-1] - at + 1))
                    break
    return sorted(found, key=lambda item: item.at), sorted(free)


def _step(text: str) -> tuple[Step, list[str]]:
    tokens = stems(text)
    items, free = _items(tokens)
    linked: list[Item] = []
    loose = {k: tokens[k] for k in free}
    for i, item in enumerate(items):
        begin = items[i - 1].at + items[i - 1].size if i else 0
        between = {loose[k] for k in range(begin, item.at) if k in loose}
        either = "or" in between and i > 0 and items[i - 1].kind == item.kind
        negated = bool(between & NEGATIONS) or (either and linked[-1].negated)
        linked.append(replace(item, negated=negated, alternative=either))
    return _meaning(linked), [word for word in loose.values() if word not in NEGATIONS | {"or"}]


def _meaning(items: list[Item]) -> Step:
    """Items put in their places."""

    def of(kind: Kind, *, negated: bool = False) -> tuple[str, ...]:
        return tuple(dict.fromkeys(item.value for item in items if item.kind == kind and item.negated == negated))

    groups: list[tuple[str, ...]] = []
    for item in (item for item in items if item.kind == "condition" and not item.negated):
        groups = [*groups[:-1], (*groups[-1], item.value)] if item.alternative and groups else [*groups, (item.value,)]
    needs = [item for item in items if item.kind == "relation" and "'OF'" in item.value]
    actors = [item for item in items if item.kind == "actor" and not item.negated]
    taken = {id(item): min(actors, key=lambda actor: abs(actor.at - item.at)) for item in needs if actors}
    relations = {item: _about(item, taken.get(id(item))) for item in items if item.kind == "relation"}
    left = tuple(dict.fromkeys(actor.value for actor in actors if actor not in taken.values()))
    levels = sorted(of("level"))
    return Step(
        scenarios=of("scenario"), not_scenarios=of("scenario", negated=True), conditions=tuple(groups),
        not_conditions=of("condition", negated=True), actors=left,
        relations=tuple(text for item, text in relations.items() if not item.negated),
        not_relations=tuple(text for item, text in relations.items() if item.negated), level=levels[-1] if levels else "L1",
    )  # fmt: skip


def _about(item: Item, actor: Item | None) -> str:
    """A relation with its road user put in; behind a truck is where the ego is, a truck behind is where the truck is."""
    text = item.value.replace("'OF'", f"'{actor.value if actor else 'any'}'")
    turned = actor is not None and actor.at > item.at
    return text.replace("'backward'", "'forward'") if turned else text


def table(text: str) -> Where:
    """The query that a key of the word list stands for."""
    found: Where = tomllib.loads(f"query = {text}")["query"]
    return found


def _where(step: Step) -> Where:
    """The query of one step."""
    parts: list[JsonValue] = []
    for actor in step.actors:
        near: Where = {"relation": "near_objects", "of": actor, "within_m": NEAR_M}
        parts.append(_any([_by(actor, name, step.level, near) for name in step.scenarios]) if step.scenarios else near)
    if step.scenarios and not step.actors:
        parts.append(_any([_mined(name, step.level) for name in step.scenarios]))
    parts += [_any([table(text) for text in group]) for group in step.conditions]
    parts += [table(text) for text in step.relations] + [dict(signal) for signal in step.signals]
    parts += [{"not": {"scenario": name}} for name in step.not_scenarios]
    parts += [{"not": table(text)} for text in (*step.not_conditions, *step.not_relations)]
    found: Where = {"and": parts}
    return found if len(parts) != 1 or not isinstance(parts[0], dict) else parts[0]


def _mined(name: str, level: Level) -> Where:
    return {"scenario": name} if level == "L1" else {"scenario": name, "level": level}


def _by(actor: str, name: str, level: Level, near: Where) -> JsonValue:
    """A scenario in which this road user takes part; where scenarios name nobody, one near such a road user."""
    mined = _mined(name, level)
    return {"some": actor, "where": mined} if "tracks" in scenario(name).signals else {"and": [mined, near]}


def _any(parts: list[JsonValue]) -> JsonValue:
    return parts[0] if len(parts) == 1 else {"or": parts}
