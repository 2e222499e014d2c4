"""Spoils what a text says: its numbers, lines, words and encoding, and JSON by its structure."""

import json
import random
import re
from collections.abc import Callable
from typing import Any

NUMBER = re.compile(rb"-?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?")
WORD = re.compile(rb"[A-Za-z_]{3,}")
ODD_NUMBERS = (
    b"NaN", b"nan", b"Infinity", b"-inf", b"1e999", b"-1e308", b"1e38", b"9" * 400, b"null", b'"x"', b"", b"0x10", b"1,5", b"True",
    b"\xd9\xa3",
)  # fmt: skip
Rng = random.Random


def encoding(data: bytes, rng: Rng) -> bytes:
    """The text in another encoding, or in two at once."""
    text = data.decode("utf-8", "replace")
    half = len(data) // 2
    return rng.choice(
        [
            lambda: text.encode("utf-16"), lambda: text.encode("utf-32-le"), lambda: b"\xef\xbb\xbf" + data, lambda: b"\xff\xfe" + data,
            lambda: data[:half] + "ü€😀".encode("utf-16") + data[half:], lambda: data[:half] + b"\xff\xc3\x28\x80" + data[half:],
            lambda: data.replace(b"\n", b"\r"), lambda: data.replace(b"a", "ä".encode("latin-1")), lambda: data.replace(b"e", b"e\0"),
            lambda: "".join(chr(ord(c) + 0xFEE0) if c.isdigit() else c for c in text).encode(), lambda: data.replace(b",", b";"),
        ]
    )()  # fmt: skip


def odd_numbers(data: bytes, rng: Rng) -> bytes:
    """Some of the text's numbers become something else."""
    return _substituted(NUMBER, data, rng, lambda _: rng.choice(ODD_NUMBERS))


def text(data: bytes, rng: Rng, what: str) -> bytes:
    lines = data.split(b"\n")
    a, b = sorted((rng.randrange(len(lines)), rng.randrange(len(lines))))
    if what == "nan":
        return odd_numbers(data, rng)
    if what == "schema":
        return _substituted(WORD, data, rng, lambda word: rng.choice((b"unknown_" + word, b"", word[::-1], word.upper())))
    if what == "double":
        return b"\n".join(lines[:b] + lines[a:])
    return rng.choice(
        [
            lambda: b"\n".join(lines[:1] + lines[:0:-1]), lambda: b"\n".join(lines[:a] + lines[b:] + lines[a:b]),
            lambda: b"\n".join(lines[:1] + [lines[min(1, len(lines) - 1)]] * len(lines)),
            lambda: _substituted(NUMBER, data, rng, lambda n: n + rng.choice((b"000", b"e9", b"9999999"))),
            lambda: _substituted(NUMBER, data, rng, lambda n: b"-" + n.lstrip(b"-")),
        ]
    )()  # fmt: skip


def _substituted(pattern: re.Pattern[bytes], data: bytes, rng: Rng, new: Callable[[bytes], bytes]) -> bytes:
    found = list(pattern.finditer(data))
    for match in sorted(rng.sample(found, min(len(found), rng.choice((1, 1, 3, 20)))), key=lambda m: -m.start()):
        data = data[: match.start()] + new(match[0]) + data[match.end() :]
    return data


def json_text(data: bytes, rng: Rng, what: str) -> bytes:
    if what == "nan":
        return text(data, rng, what)
    value = json.loads(data)
    places = list(_places(value, (list,) if what != "schema" else (dict, list)))
    if not places:
        return text(data, rng, what)
    place = rng.choice(places)
    if isinstance(place, dict):
        key = rng.choice(sorted(place)) if place else "x"
        held = place.pop(key, None)
        place |= rng.choice([{}, {f"{key}_": held}, {key: [held]}, {key: None}, {key: {"x": held}}, {key: str(held)}, {"": held}])
    elif what == "clock":
        _reorder(place, rng)
    else:
        place.insert(0, rng.choice([*place, None, "x", {}, []])) if what == "schema" else place.extend(
            place[: rng.randrange(len(place) + 1)]
        )
    return json.dumps(value).encode()


def _places(value: Any, kinds: tuple[type, ...]) -> list[Any]:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return ([value] if isinstance(value, kinds) else []) + [place for item in list(inner)[:50] for place in _places(item, kinds)]


def _reorder(items: list[Any], rng: Rng) -> None:
    how = rng.choice(("reverse", "shuffle", "jump", "stand"))
    if how == "reverse":
        items.reverse()
    elif how == "shuffle":
        rng.shuffle(items)
    else:
        at = rng.randrange(len(items) + 1)
        items[at:] = [
            (item + rng.choice((3e8, -3e8)) if how == "jump" else item * 0) if isinstance(item, float) else item for item in items[at:]
        ]
