"""Spoils the meaning of a file and not its form: what is written parses, but its numbers, times, rows or names are wrong.

Four things are done to each kind of content: `nan` (numbers that are none), `clock` (times that jump, stand or go back), `double` (rows,
topics, ids twice) and `schema` (names and types that nobody knows).
"""

import random
from collections.abc import Callable

from tests.adversarial.kinds import kind_of
from tests.adversarial.rewrite_mcap import mcap
from tests.adversarial.rewrite_tables import feather, npy, parquet, plain_pickle, sqlite
from tests.adversarial.rewrite_text import json_text, text

KINDS = frozenset({"json", "csv", "text", "xml", "mcap", "sqlite", "parquet", "feather", "npy", "pickle"})
Rng = random.Random


def nan(data: bytes, rng: Rng) -> bytes:
    """Numbers that are none, or far beyond what can be."""
    return _by_kind(data, rng, "nan")


def clock(data: bytes, rng: Rng) -> bytes:
    """Times that jump, stand still, or go back."""
    return _by_kind(data, rng, "clock")


def double(data: bytes, rng: Rng) -> bytes:
    """Rows, topics or ids that come twice."""
    return _by_kind(data, rng, "double")


def schema(data: bytes, rng: Rng) -> bytes:
    """Names, types or structures that nobody knows."""
    return _by_kind(data, rng, "schema")


def _by_kind(data: bytes, rng: Rng, what: str) -> bytes:
    kind = kind_of("", data)
    if kind == "binary":
        kind = {b"[": "json", b"{": "json"}.get(data.lstrip()[:1], "text")
    change: Callable[[bytes, Rng, str], bytes] = {
        "json": json_text, "mcap": mcap, "sqlite": sqlite, "parquet": parquet, "feather": feather, "npy": npy, "pickle": plain_pickle,
    }.get(kind, text)  # fmt: skip
    return change(data, rng, what)
