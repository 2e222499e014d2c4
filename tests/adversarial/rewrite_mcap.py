"""Spoils what an MCAP's messages say: their times, numbers, channels and schemas."""

import io
import random
from typing import Any

from mcap.reader import make_reader
from mcap.writer import CompressionType, Writer

from tests.adversarial.rewrite_text import odd_numbers

YEAR_NS = 31_557_600 * 10**9
Rng = random.Random


def mcap(data: bytes, rng: Rng, what: str) -> bytes:
    """The messages written anew, by a writer that does not look at what it writes."""
    found = [(s, c, m.log_time, m.data) for s, c, m in make_reader(io.BytesIO(data)).iter_messages(log_time_order=False)]
    topic = rng.choice(sorted({c.topic for _, c, _, _ in found}))
    mine = [k for k, item in enumerate(found) if item[1].topic == topic]
    if what == "nan":
        chosen = set(rng.sample(mine, min(len(mine), rng.choice((1, 5, len(mine))))))
        found = [(s, c, t, _odd_message(d, rng) if k in chosen else d) for k, (s, c, t, d) in enumerate(found)]
    elif what == "clock":
        found = _retimed(found, mine, rng)
    elif what == "double":
        found = [item for k, item in enumerate(found) for item in [item] * (2 if k in mine[: rng.randrange(len(mine)) + 1] else 1)]
    return _rewritten(data, found, rng, what, odd_topic=topic if what == "schema" else "")


def _retimed(found: list[Any], mine: list[int], rng: Rng) -> list[Any]:
    """Log times of one topic (or all) that jump, run backwards, stand, are zero, or microseconds."""
    at, jump = rng.choice(mine), rng.choice((YEAR_NS, -YEAR_NS, -5 * 10**9, 10**9, -(10**17)))
    pivot, chosen = found[at][2], set(mine) if rng.random() < 0.7 else set(range(len(found)))
    new = rng.choice(
        [lambda k, t: t + jump * (k >= at), lambda k, t: 2 * pivot - t, lambda k, t: pivot, lambda k, t: 0, lambda k, t: t // 1000]
    )
    return [(s, c, max(0, new(k, t)) if k in chosen else t, d) for k, (s, c, t, d) in enumerate(found)]


def _rewritten(data: bytes, found: list[Any], rng: Rng, what: str, *, odd_topic: str) -> bytes:
    sink = io.BytesIO()
    writer = Writer(sink, compression=rng.choice(list(CompressionType)), chunk_size=32_768)
    writer.start()
    for record in make_reader(io.BytesIO(data)).iter_metadata():
        spoil = bool(odd_topic) and rng.random() < 0.2
        writer.add_metadata(record.name, {"vehicle_id": "|", "day": "yesterday"} if spoil else record.metadata)
    channels: dict[tuple[int, int], int] = {}
    for k, (s, c, t, d) in enumerate(found):
        # The second half of a doubled topic comes by a channel of its own.
        key = (c.id, int(what == "double" and k > len(found) // 2))
        if key not in channels:
            channels[key] = _channel(writer, s, c, rng, odd=c.topic == odd_topic)
        writer.add_message(channels[key], log_time=t, publish_time=t, data=d)
    writer.finish()
    return sink.getvalue()


def _channel(writer: Any, s: Any, c: Any, rng: Rng, *, odd: bool) -> int:
    if not odd:
        return int(writer.register_channel(c.topic, c.message_encoding, writer.register_schema(s.name, s.encoding, s.data)))
    name, form = rng.choice(("foxglove.Unknown", "", "std_msgs/msg/String", s.name)), rng.choice(("json", "cdr", "ros1", ""))
    return int(writer.register_channel(c.topic, form, writer.register_schema(name, s.encoding, rng.choice((b"", b"\xff" * 50, s.data)))))


def _odd_message(data: bytes, rng: Rng) -> bytes:
    if data[:1] == b"{":
        return odd_numbers(data, rng)
    at = rng.randrange(max(len(data) - 8, 1))
    return data[:at] + rng.choice((b"\x00\x00\x00\x00\x00\x00\xf8\x7f", b"\x00\x00\x00\x00\x00\x00\xf0\xff")) + data[at + 8 :]
