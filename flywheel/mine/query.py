"""The query language: scenarios, relations and conditions put together as data (TOML or JSON), checked before anything runs.

A query is a table with one operator:

    {and = [A, B]}  {or = [A, B]}  {not = A}
    {then = [A, B, ...], within_s = 5}     B begins after A did, at most so long after A ended
    {during = [A, B]}                      A, where it lies within B
    {overlapping = [A, B]}                 A, where it shares time with B
    {near = [A, B], within_s = 3}          A, where B is at most so long before or after it; or within_m = 30 on the ego's way
    {lasting = A, min_s = 2}               A, where it lasts so long
    {some = "pedestrian", where = A, min_number = 2}   when so many tracks of a class do A: relations in A are about that track
    {scenario = "cut_in", level = "L2"}    a scenario of the catalogue, at that level or harder
    {relation = "near_objects", of = "bus", within_m = 5}   an atomic relation of the ego (or of the track of `some`)
    {lighting = "night"}  {weather = ["rain", "fog"]}       the condition the drive was under
    {odd = {scenery = "junction", visibility = ["low", "thick_fog"]}}     attributes of its ODD stratum (`odd.toml`)
    {signal = "visibility_m", below = 1000}                 any number of SIGNALS or LANES; also at_most, above, at_least
"""

import difflib
import json
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from typing import Annotated, Any, Literal

import pyarrow as pa
from pydantic import Field, ValidationError, model_validator

from flywheel.errors import BadData
from flywheel.mine.catalogue import catalogue
from flywheel.mine.related import RELATIONS, Relation
from flywheel.odd import UNKNOWN, attributes
from flywheel.tables import SCHEMAS
from flywheel.types import Level, Lighting, Record, Weather

LONGEST_S = 3600.0
Seconds = Annotated[float, Field(ge=0, le=LONGEST_S)]
CLASSES: dict[str, tuple[str, ...]] = {
    "any": (), "vehicle": ("car", "truck", "bus", "motorcycle"), "vru": ("pedestrian", "cyclist"),
    **{name: (name,) for name in ("car", "truck", "bus", "pedestrian", "cyclist", "other")},
    **{name: (name,) for name in ("animal", "debris", "cone", "barrier", "sign", "emergency_vehicle", "motorcycle")},
}  # fmt: skip
NUMBERS = {f.name: table for table in ("LANES", "SIGNALS") for f in SCHEMAS[table] if not (pa.types.is_string(f.type) or f.name == "t_ns")}


class And(Record):
    """When all parts hold."""

    parts: tuple["Node", ...]


class Or(Record):
    """When at least one part holds."""

    parts: tuple["Node", ...]


class Not(Record):
    """When the part is known not to hold."""

    part: "Node"


class Then(Record):
    """One part after another, each begun after the one before did and within so long of its end."""

    parts: tuple["Node", ...]
    within_s: Seconds


class Pair(Record):
    """The stretches of the first part that stand in this relation to the second."""

    kind: Literal["during", "overlapping", "near"]
    this: "Node"
    of: "Node"
    within_s: Seconds | None = None
    within_m: float | None = Field(default=None, gt=0)

    @model_validator(mode="after")
    def _has_one_reach(self) -> "Pair":
        given = sum(value is not None for value in (self.within_s, self.within_m))
        if given != (self.kind == "near"):
            raise ValueError("near needs either within_s or within_m" if self.kind == "near" else f"{self.kind} takes neither")
        return self


class Lasting(Record):
    """The stretches of a part that last so long."""

    part: "Node"
    min_s: Seconds


class Some(Record):
    """When so many tracks of a class do what `where` says."""

    some: str | tuple[str, ...]
    where: "Node | None" = None
    min_number: int = Field(default=1, ge=1)


class Mined(Record):
    """A scenario of the catalogue, at a level or harder."""

    scenario: str
    level: Level = "L1"


class Condition(Record):
    """The light, the weather, or both, that the drive was under."""

    lighting: tuple[Lighting, ...] = ()
    weather: tuple[Weather, ...] = ()


class Odd(Record):
    """Attributes of the ODD stratum, each with the values of which it must have one."""

    odd: dict[str, tuple[str, ...]]


class Signal(Record):
    """A number of the drive compared with bounds, all of which must hold."""

    signal: str
    below: float | None = None
    at_most: float | None = None
    above: float | None = None
    at_least: float | None = None

    @model_validator(mode="after")
    def _has_a_bound(self) -> "Signal":
        if all(bound is None for bound in (self.below, self.at_most, self.above, self.at_least)):
            raise ValueError("give below, at_most, above or at_least")
        return self


Node = And | Or | Not | Then | Pair | Lasting | Some | Mined | Condition | Odd | Signal | Relation
for _model in (And, Or, Not, Then, Pair, Lasting, Some):
    _model.model_rebuild()
OPERATORS = (
    "and", "or", "not", "then", "during", "overlapping", "near", "lasting", "some", "scenario", "relation", "lighting", "weather",
    "odd", "signal",
)  # fmt: skip


def near_names(wanted: str, there: Iterable[str], *, all_of: bool = True) -> str:
    """What there is, the names like the wanted one first."""
    names = sorted(there)
    like = difflib.get_close_matches(wanted, names, n=3, cutoff=0.5)
    hint = f"did you mean {' or '.join(like)}? " if like else ""
    return hint + (f"there are {', '.join(names)}" if all_of else "")


def _known(wanted: str, there: Iterable[str], what: str, at: str) -> str:
    if wanted not in there:
        raise BadData(f"{at}: no {what} {wanted!r}; {near_names(wanted, there)}")
    return wanted


def classes_of(said: Any, at: str) -> str | tuple[str, ...]:
    """A class or a list of classes, each known."""
    names = [said] if isinstance(said, str) else said
    if not isinstance(names, list | tuple) or not names or not all(isinstance(name, str) for name in names):
        raise BadData(f"{at}: {said!r} is no class: write a name or a list of names; there are {', '.join(sorted(CLASSES))}")
    found = tuple(_known(name, CLASSES, "class", at) for name in names)
    return found[0] if isinstance(said, str) else found


def parse(said: Any, at: str = "where") -> Node:
    """The checked query of a table; BadData says which part is wrong, why, and what there is instead."""
    if not isinstance(said, Mapping):
        raise BadData(f"{at}: {said!r} is no query: write a table with one of {', '.join(OPERATORS)}")
    found = [name for name in OPERATORS if name in said]
    found = ["lighting"] if set(found) == {"lighting", "weather"} else found
    if len(found) != 1:
        odd = next((key for key in said if key not in OPERATORS), "")
        why = f"has {' and '.join(found)}: put them in an `and`" if found else f"names no operator ({near_names(odd, OPERATORS)})"
        raise BadData(f"{at}: {dict(said)!r} {why}")
    try:
        return _built(found[0], dict(said), at)
    except ValidationError as err:
        wrong = "; ".join(f"{'.'.join(map(str, e['loc'])) or found[0]}: {e['msg'].removeprefix('Value error, ')}" for e in err.errors())
        raise BadData(f"{at}: {dict(said)!r}: {wrong}") from err


def _parts(said: Any, at: str, *, least: int = 1, most: int | None = None) -> tuple[Node, ...]:
    if not isinstance(said, list | tuple) or len(said) < least or (most is not None and len(said) > most):
        many = f"{least} queries" if most == least else f"{least} or more queries"
        raise BadData(f"{at}: {said!r}: write a list of {many}")
    return tuple(parse(part, f"{at}[{i}]") for i, part in enumerate(said))


def _built(operator: str, said: dict[str, Any], at: str) -> Node:
    inner, rest = f"{at}.{operator}", {key: value for key, value in said.items() if key != operator}
    match operator:
        case "and" | "or":
            parts = _parts(said[operator], inner)
            return And(parts=parts, **rest) if operator == "and" else Or(parts=parts, **rest)
        case "then":
            return Then(parts=_parts(said["then"], inner, least=2), **rest)
        case "during" | "overlapping" | "near":
            this, of = _parts(said[operator], inner, least=2, most=2)
            return Pair.model_validate({"kind": operator, "this": this, "of": of, **rest})
        case "not":
            return Not(part=parse(said["not"], inner), **rest)
        case "lasting":
            return Lasting(part=parse(said["lasting"], inner), **rest)
        case "some":
            where = {"where": parse(said["where"], f"{inner}.where")} if "where" in said else {}
            return Some.model_validate({**rest, "some": classes_of(said["some"], inner), **where})
        case "scenario":
            _known(str(said["scenario"]), [entry.name for entry in catalogue()], "scenario", at)
            return Mined.model_validate(said)
        case "relation":
            return _relation(said, at)
        case "odd":
            return Odd.model_validate({**rest, "odd": _strata(said["odd"], inner)})
        case "signal":
            _known(str(said["signal"]), NUMBERS, "signal", at)
            return Signal.model_validate(said)
    listed = {key: [value] if isinstance(value, str) else value for key, value in said.items()}
    return Condition.model_validate(listed)


def _strata(said: Any, at: str) -> dict[str, list[str]]:
    """Attribute values, each known."""
    known = {attribute.name: (*attribute.values, UNKNOWN) for attribute in attributes()}
    if not isinstance(said, Mapping) or not said:
        raise BadData(f"{at}: {said!r}: write a table of attributes; there are {', '.join(known)}")
    found = {_known(name, known, "attribute", at): [value] if isinstance(value, str) else list(value) for name, value in said.items()}
    for name, values in found.items():
        for value in values:
            _known(value, known[name], f"{name} value", at)
    return found


def _relation(said: dict[str, Any], at: str) -> Node:
    kind = RELATIONS[_known(str(said["relation"]), RELATIONS, "relation", at)]
    if "of" in said and said["of"] != "ego":
        said = {**said, "of": classes_of(said["of"], at)}
    return kind.model_validate(said)


def read_query(text: str, *, at: str = "query") -> Node:
    """The query of TOML or JSON text: the query's table itself, or one with the key `where`."""
    try:
        said = json.loads(text) if text.lstrip().startswith("{") else tomllib.loads(text)
    except (json.JSONDecodeError, tomllib.TOMLDecodeError) as err:
        raise BadData(f"{at}: neither JSON nor TOML: {err}") from err
    return parse(said.get("where", said) if isinstance(said, dict) and "some" not in said else said, at)


def children(node: Node) -> tuple[Node, ...]:
    """The parts of a query."""
    match node:
        case And() | Or() | Then():
            return node.parts
        case Pair():
            return (node.this, node.of)
        case Not() | Lasting():
            return (node.part,)
        case Some():
            return (node.where,) if node.where else ()
    return ()


def leaves(node: Node) -> Iterator[Node]:
    """Everything a query asks of a drive, in the order written."""
    parts = children(node)
    if not parts:
        yield node
    for part in parts:
        yield from leaves(part)
