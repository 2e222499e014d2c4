"""The language of the operational design domain: eight attributes after ISO 34503 with OSI's bins, strata as text, and what cannot be.

The attributes, their bins and what cannot be are data (`odd.toml`). A stratum is written in the order of that file, values parted by
bars: `night|rain:moderate|snow:none|vis:low|temp:mild|junction|30-50|traffic:light`. Mining measures strata; planning asks for them.
"""

import tomllib
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from flywheel.types import Record, digest_of

UNKNOWN = "unknown"


class Attribute(Record):
    """One attribute: its values in order, and the edges between them in `unit` where it is a number."""

    name: str
    group: str
    values: tuple[str, ...]
    edges: tuple[float, ...] = ()
    unit: str = ""
    prefix: str = ""
    means: str

    def code(self, value: NDArray[np.float64]) -> NDArray[np.int64]:
        """The bin of each number; one past the last where it is NaN."""
        return np.where(np.isfinite(value), np.digitize(value, self.edges), len(self.values)).astype(np.int64)

    def text(self, value: str) -> str:
        """A value as a stratum writes it."""
        return self.prefix + value


class Impossible(Record):
    """Values of two or more attributes that do not go together."""

    values: dict[str, tuple[str, ...]]
    why: str


@lru_cache(maxsize=1)
def _said() -> tuple[tuple[Attribute, ...], tuple[Impossible, ...]]:
    said = tomllib.loads((Path(__file__).parent / "odd.toml").read_text())
    attributes = tuple(Attribute(name=name, **entry) for name, entry in said["attributes"].items())
    return attributes, tuple(Impossible(why=entry.pop("why"), values=entry) for entry in said["impossible"])


def attributes() -> tuple[Attribute, ...]:
    """The attributes in the order in which a stratum names them."""
    return _said()[0]


def constraints() -> tuple[Impossible, ...]:
    """What cannot be."""
    return _said()[1]


@lru_cache(maxsize=1)
def bins_sha256() -> str:
    """The digest of the attributes and their bins: strata under another one are not the same strata."""
    return digest_of([a.model_dump(mode="json") for a in attributes()])


def possible(values: Mapping[str, str]) -> bool:
    """Whether no constraint forbids these attribute values together."""
    return not any(all(values[name] in bad for name, bad in entry.items()) for entry in _about(frozenset(values)))


@lru_cache(maxsize=256)
def _about(names: frozenset[str]) -> tuple[dict[str, tuple[str, ...]], ...]:
    """The constraints that name none but these attributes."""
    return tuple(entry.values for entry in constraints() if entry.values.keys() <= names)


def parse(odd: str) -> dict[str, str]:
    """The attribute values of a stratum; an empty text is unknown in all of them. ValueError for any other text."""
    if not odd:
        return {a.name: UNKNOWN for a in attributes()}
    parts = odd.split("|")
    return {a.name: part.removeprefix(a.prefix) for a, part in zip(attributes(), parts, strict=True)}


def written(values: Mapping[str, str]) -> str:
    """The text of some attributes' values, in the order of the file; attributes that are not named are left out."""
    return "|".join(a.text(values[a.name]) for a in attributes() if a.name in values)


def reduced(odd: str, names: Sequence[str]) -> str:
    """A stratum with only some of its attributes."""
    values = parse(odd)
    return written({name: values[name] for name in names})
