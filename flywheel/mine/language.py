"""Search in plain words over what was mined: each event gets a caption, captions and query are compared as sentences and as structure.

The structure (see `understand`) counts the share of what was asked that an event fits; the text the cosine of the two sentences. Ranked
by both: the more of the words were understood, the more the structure counts, the text for the rest and among equals.
"""

from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any, Literal

import numpy as np
import pyarrow.compute as pc

from flywheel import odd
from flywheel.errors import BadData
from flywheel.mine import query as q
from flywheel.mine.adhoc import run_query
from flywheel.mine.catalogue import catalogue
from flywheel.mine.describe import described
from flywheel.mine.segments import Reals
from flywheel.mine.sentences import Encoder
from flywheel.mine.understand import Step, Understood, table, understand, words
from flywheel.store import Store
from flywheel.tables import list_parts, read_part, read_table
from flywheel.types import Condition, Record

Row = dict[str, Any]
By = Literal["both", "text", "structure"]
SEVERITY = {"L1": "notable", "L2": "critical", "L3": "a near crash"}
SKY = {
    "night": "at night, in the dark", "dusk": "at dusk", "day": "by day", "low_sun": "in low sun", "rain": "in the rain",
    "snow": "in snow", "fog": "in fog", "clear": "in clear weather",
}  # fmt: skip
ODD = {
    "vis:low": "low visibility", "vis:thick_fog": "very low visibility", "vis:dense_fog": "hardly any visibility",
    "rain:heavy": "heavy rain", "rain:very_heavy": "a downpour", "junction": "at an intersection", "curve": "in a curve",
    "straight": "on a straight road", "standing": "standing", "0-30": "at low speed", "30-50": "at city speed",
    "50-80": "at country road speed",
    "80-120": "at high speed", "120+": "at very high speed", "traffic:free": "no traffic", "traffic:light": "light traffic",
    "traffic:dense": "dense traffic", "temp:cold": "cold",
}  # fmt: skip
# What counts how much of the structure: what happened before who took part and where.
STRUCTURE = 0.75
WEIGHTS = {"scenario": 3.0, "actor": 2.0, "whole": 2.0, "condition": 1.0, "level": 1.0}


class SearchHit(Record):
    """One event that may be meant. `score` ranks; `text` is the cosine, `structure` the share of what was understood (None if nothing)."""

    event_id: str
    scenario: str
    level: str
    drive_id: str
    t0_ns: int
    t1_ns: int
    score: float
    text: float | None
    structure: float | None
    caption: str


class SearchResult(Record):
    """The events, best first, and what the words were taken to mean (`structure` empty if nothing)."""

    text: str
    understood: str
    structure: dict[str, Any]
    ignored: tuple[str, ...]
    encoder: str
    hits: tuple[SearchHit, ...]


@lru_cache(maxsize=1)
def _says() -> Mapping[str, str]:
    return {name: entry["says"] for name, entry in words()["scenarios"].items()}


def caption(row: Row, *, classes: Sequence[str], definitions: Mapping[str, str]) -> str:
    """An event in words: what, how hard, with whom, under which light and weather, where."""
    sky = Condition.parse(row["condition"])
    around = [ODD[part] for part in (row["odd"] or "").split("|") if part in ODD]
    who = f" with {' and '.join(f'a {cls}' for cls in classes)}" if classes else ""
    where = ", ".join([SKY[sky.lighting], SKY[sky.weather], *around])
    return f"{headline(row, definitions=definitions)}{who}, {where}. {SEVERITY[row['level']].capitalize()}."


def headline(row: Row, *, definitions: Mapping[str, str]) -> str:
    """What happened, and nothing of where and when."""
    name = row["scenario"].replace("_", " ")
    return f"{name}: {_says().get(row['scenario']) or definitions.get(row['scenario'], name).split('. ')[0].rstrip('.')}"


def actor_classes(store: Store, rows: Iterable[Row]) -> dict[tuple[str, str], tuple[str, ...]]:
    """(drive, track) -> its class and, if it has one, its subclass, for all actors of some events."""
    wanted: dict[str, set[str]] = {}
    for row in rows:
        wanted.setdefault(row["drive_id"], set()).update(row["actors"])
    found: dict[tuple[str, str], tuple[str, ...]] = {}
    for key in list_parts(store, "TRACKS"):
        drive_id = key.rsplit("/", 1)[1].removesuffix(".parquet")
        if names := wanted.get(drive_id):
            tracks = read_part(store, key, columns=["track_id", "cls", "subclass"])
            kept = tracks.filter(pc.is_in(tracks["track_id"], value_set=pc.cast(sorted(names), "string")))
            for one in kept.group_by(["track_id", "cls", "subclass"]).aggregate([]).to_pylist():
                found[drive_id, one["track_id"]] = tuple(filter(None, (one["cls"], one["subclass"])))
    return found


def search(store: Store, text: str, *, encoder: Encoder | None, top: int = 10, by: By = "both") -> SearchResult:
    """The events of a root that fit the words best; BadData for a root without events. Without an encoder structure alone ranks."""
    rows = sorted(read_table(store, "EVENTS").to_pylist(), key=lambda row: (row["drive_id"], row["t0_ns"], row["event_id"]))
    if not rows:
        raise BadData(f"{store.uri} has no events: run `flywheel mine`")
    classes = actor_classes(store, rows)
    kinds = [tuple(dict.fromkeys(cls for name in row["actors"] for cls in classes.get((row["drive_id"], name), ()))) for row in rows]
    definitions = {entry.name: entry.definition for entry in catalogue()}
    captions = [caption(row, classes=kind, definitions=definitions) for row, kind in zip(rows, kinds, strict=True)]
    asked = understand(text)
    headlines = [headline(row, definitions=definitions) for row in rows]
    cosine = _cosine(encoder, text, captions, headlines) if encoder is not None and by != "structure" else None
    share = _structured(store, asked, rows, kinds) if by != "text" else None
    score = _score(cosine, share, known=asked.known, count=len(rows))
    hits = [
        SearchHit(
            **{name: rows[i][name] for name in ("event_id", "scenario", "level", "drive_id", "t0_ns", "t1_ns")}, caption=captions[i],
            score=round(float(score[i]), 4), text=None if cosine is None else round(float(cosine[i]), 4),
            structure=None if share is None else round(float(share[i]), 4),
        )
        for i in np.argsort(-score, kind="stable")[:top]
        if score[i] > 0
    ]  # fmt: skip
    where = asked.query() if share is not None or any(not step.empty for step in asked.steps) else {}
    return SearchResult(
        text=text, understood=described(q.parse(where)) if where else "nothing: ranked by the text alone", structure=where,
        ignored=asked.ignored, encoder=encoder.name if encoder is not None else "none", hits=tuple(hits),
    )  # fmt: skip


def _cosine(encoder: Encoder, text: str, captions: list[str], headlines: list[str]) -> Reals:
    """The mean of the cosines with the caption and with its headline alone, which a long caption drowns."""
    vectors = encoder.texts([text, *captions, *headlines])
    found = np.asarray(vectors[1:] @ vectors[0], np.float64)
    return np.asarray(found.reshape(2, -1).mean(axis=0))


def _score(cosine: Reals | None, share: Reals | None, *, known: float, count: int) -> Reals:
    """Structure and text weighed by the share of the words that were understood; one alone if the other is not there."""
    if share is None:
        return np.zeros(count) if cosine is None else cosine
    weight = STRUCTURE * known
    return share if cosine is None else weight * share + (1 - weight) * np.clip(cosine, 0, 1)


def _structured(store: Store, asked: Understood, rows: list[Row], kinds: list[tuple[str, ...]]) -> Reals | None:
    """For each event the share of what was understood that it fits; 0 for what was excluded; None where nothing was understood."""
    steps = [step for step in asked.steps if not step.empty]
    if not steps:
        return None
    whole = _answered(store, asked, rows) if _needs_drives(steps) else None
    shares = [[_fits(step, row, kind, None if whole is None else whole[i]) for i, (row, kind) in enumerate(zip(rows, kinds, strict=True))]
              for step in steps]  # fmt: skip
    return np.asarray(np.max(shares, axis=0), np.float64)


def _needs_drives(steps: list[Step]) -> bool:
    """Whether events alone cannot tell: relations, numbers and order in time need the drive."""
    return len(steps) > 1 or any(step.relations or step.not_relations or step.signals for step in steps)


def _answered(store: Store, asked: Understood, rows: list[Row]) -> list[bool]:
    """For each event, whether it shares time with an answer to the whole query."""
    found = run_query(store, q.parse(asked.query())).events
    spans: dict[str, list[tuple[int, int]]] = {}
    for answer in found:
        spans.setdefault(answer.drive_id, []).append((answer.t0_ns, answer.t1_ns))
    return [any(a < row["t1_ns"] and row["t0_ns"] < b for a, b in spans.get(row["drive_id"], ())) for row in rows]


def _fits(step: Step, row: Row, kinds: tuple[str, ...], whole: bool | None) -> float:
    if row["scenario"] in step.not_scenarios or any(_under(row, text) for text in step.not_conditions):
        return 0.0
    asked = [("condition", any(_under(row, text) for text in group)) for group in step.conditions]
    asked += [("scenario", row["scenario"] in step.scenarios)] if step.scenarios else []
    asked += [("actor", bool(set(q.CLASSES[actor] or kinds) & set(kinds))) for actor in step.actors]
    asked += [("level", row["level"] >= step.level)] if step.level != "L1" else []
    asked += [("whole", whole)] if whole is not None else []
    total = sum(WEIGHTS[kind] for kind, _ in asked)
    return sum(WEIGHTS[kind] for kind, fits in asked if fits) / total if total else 0.5


def _under(row: Row, text: str) -> bool:
    """Whether an event was under a condition of the word list."""
    asked = table(text)
    attributes = asked.get("odd")
    if isinstance(attributes, dict):
        values = odd.parse(row["odd"]) if row["odd"] else {}
        return all(_one_of(values.get(name), wanted) for name, wanted in attributes.items())
    sky = Condition.parse(row["condition"])
    return all(_one_of(getattr(sky, name), wanted) for name, wanted in asked.items())


def _one_of(value: str | None, wanted: Any) -> bool:
    return value in ([wanted] if isinstance(wanted, str) else wanted)
