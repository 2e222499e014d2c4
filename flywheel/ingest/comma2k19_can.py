"""The raw CAN frames of a comma2k19 segment, decoded where a database (.dbc) and a mapping lie in the segment's folder."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from flywheel.errors import BadData
from flywheel.ingest.can_decode import Decoder, load_decoder
from flywheel.ingest.can_frames import Frame
from flywheel.ingest.comma2k19_arrays import boot_seconds, load_array, numbers
from flywheel.ingest.comma2k19_clock import Clock
from flywheel.ingest.drive import Finding, Log, warning
from flywheel.ingest.mapping import CanMapping, sidecar
from flywheel.ingest.signals import Stream

FOLDER = "processed_log/CAN/raw_can"
# Identifiers above 11 bits are extended ones: the arrays do not say.
STANDARD = 0x7FF


class Decoded(NamedTuple):
    """What the user's database made of the raw frames, and what the mapping says about the drive."""

    mapping: CanMapping | None = None
    streams: tuple[Stream, ...] = ()
    findings: tuple[Finding, ...] = ()


def decode(log: Log, clock: Clock) -> Decoded:
    """The mapped signals as streams; nothing without a .dbc. BadData if the arrays do not fit together, or a sidecar is wrong."""
    if not any(path.lower().endswith(".dbc") for path in log.paths) or f"{FOLDER}/t" not in log.paths:
        return Decoded()
    mapping = sidecar(log)
    if mapping is not None and not isinstance(mapping, CanMapping):
        raise BadData('mapping.toml: kind = "can" is needed for the database in this folder')
    decoder = load_decoder(log, mapping)
    samples: dict[str, tuple[list[float], list[tuple[float, ...]]]] = {name: ([], []) for name in decoder.columns}
    for frame in raw_frames(log):
        found = decoder.decode(frame)
        if found is not None:
            samples[found[0]][0].append(frame.t_s)
            samples[found[0]][1].append(found[1])
    streams = [_stream(name, *held, decoder=decoder, clock=clock) for name, held in samples.items() if held[0]]
    failed = ", ".join(f"{name} ({count})" for name, count in sorted(decoder.failed.items()))
    findings = (warning("decode", f"frames that do not fit the database were left out: {failed}"),)
    return Decoded(mapping, tuple(streams), findings if failed else ())


def raw_frames(log: Log) -> Iterator[Frame]:
    """Every frame of raw_can; its `data` lost their trailing zero bytes in the array and get them back."""
    t_s = boot_seconds(f"{FOLDER}/t", numbers(log, f"{FOLDER}/t"))
    address, bus, data = (load_array(log, f"{FOLDER}/{name}").reshape(-1) for name in ("address", "src", "data"))
    if not len(t_s) == len(address) == len(bus) == len(data) or data.dtype.kind != "S" or "S" in (address.dtype.kind, bus.dtype.kind):
        raise BadData(f"{FOLDER}: t, address, src and data do not fit together")
    for t, where, source, payload in zip(t_s.tolist(), address.tolist(), bus.tolist(), data.tolist(), strict=True):
        yield Frame(t, int(where), where > STANDARD, str(source), payload.ljust(data.dtype.itemsize, b"\0"))


def _stream(name: str, t_s: list[float], rows: list[tuple[float, ...]], *, decoder: Decoder, clock: Clock) -> Stream:
    times, values = clock.ns(np.array(t_s)), np.array(rows, np.float64)
    if (np.diff(times) < 0).any():
        raise BadData(f"{FOLDER}: {name}: time goes back after {t_s[int(np.argmax(np.diff(times) < 0))]} s")
    kept = np.r_[True, np.diff(times) > 0]
    return Stream(times[kept], {column: values[kept, k] for k, column in enumerate(decoder.columns[name])})


def without(streams: list[Stream], decoded: tuple[Stream, ...]) -> list[Stream]:
    """The segment's own streams less the columns that the user's database gives."""
    given = {name for stream in decoded for name in stream.columns}
    kept = [Stream(s.times, {name: values for name, values in s.columns.items() if name not in given}) for s in streams]
    return [stream for stream in kept if stream.columns]
