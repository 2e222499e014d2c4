"""Raw CAN logs (candump, Vector ASC and BLF) with the database (DBC) and the mapping that lie beside them."""

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from flywheel.errors import BadData
from flywheel.ingest import mapping as maps
from flywheel.ingest.can_decode import Decoder, load_decoder
from flywheel.ingest.can_frames import Frame, Kind, frames, kind_of, zero_s
from flywheel.ingest.can_signals import Samples, Windows
from flywheel.ingest.drive import Beats, DriveFacts, Finding, Item, Log, Rows, warning
from flywheel.ingest.quality import T_MAX_NS, T_MIN_NS
from flywheel.ingest.whereabouts import day_of

HEAD_BYTES = 4096
MAX_ADDRESSES = 4096
BEATS_AT_ONCE = 1 << 17
# A clock without a zone: UTC-12 to UTC+14.
ZONE_NS = 14 * 3600 * 10**9


def matches(log: Log) -> bool:
    """Whether the log is one file (and its sidecars) that begins as a CAN log does."""
    path = maps.main_path(log)
    return path is not None and kind_of(log.head(path, size=HEAD_BYTES)) is not None


def read(log: Log) -> Iterator[Item]:
    """The drive of a CAN log; BadData if it is damaged or has no database and mapping beside it."""
    path = maps.main_path(log) or ""
    head = log.head(path, size=HEAD_BYTES)
    kind = kind_of(head)
    beside = maps.sidecar(log)
    if kind is None or isinstance(beside, maps.CsvMapping):
        raise BadData('the mapping beside it is of kind "csv", but this is a CAN log: kind = "can" is needed')
    decoder = load_decoder(log, beside)
    clock = Clock(kind, zero_s(kind, head), beside)
    beats, windows = BusBeats(), Windows({name: Samples(columns) for name, columns in decoder.columns.items()}, _no_ax(decoder))
    t0_ns: int | None = None
    for frame in frames(log, path, kind):
        t_ns = clock.ns(frame.t_s)
        t0_ns = t_ns if t0_ns is None else t0_ns
        yield from beats.take(frame, t_ns)
        decoded = decoder.decode(frame)
        rows = windows.take(decoded[0], t_ns, decoded[1]) if decoded else None
        if rows is not None:
            yield Rows("SIGNALS", rows)
    if t0_ns is None:
        raise BadData("no data frames in it")
    if (rest := windows.rows(T_MAX_NS)) is not None:
        yield Rows("SIGNALS", rest)
    yield from beats.rest()
    yield clock.facts(t0_ns, derived=("ax_mps2",) if _no_ax(decoder) else ())
    yield from (*clock.findings(), *decode_findings(decoder, windows))


def _no_ax(decoder: Decoder) -> bool:
    held = {name for columns in decoder.columns.values() for name in columns}
    return "speed_mps" in held and "ax_mps2" not in held


class Clock:
    """From a log's own seconds to int64 ns UTC, and what is known about that.

    A candump counts from 1970 (or from its start); an ASC or BLF from a date that its recorder's clock showed, whose zone it does not say.
    """

    def __init__(self, kind: Kind, zero: float | None, said: maps.CanMapping | None) -> None:
        self.kind, self.said = kind, said
        self.name = "utc" if kind == "candump" else "local"
        self.zero_ns = None if zero is None else round(zero * 1000) * 10**6

        if said is not None and said.epoch != "log":
            self.name, self.zero_ns = ("relative" if said.epoch == "relative" else "utc"), maps.epoch_ns(said.epoch)
        elif said is not None and said.utc_offset_h is not None and self.name == "local" and self.zero_ns is not None:
            self.name, self.zero_ns = "utc", self.zero_ns - round(said.utc_offset_h * 3600) * 10**9
        if self.zero_ns is None:
            self.name, self.zero_ns = "relative", maps.EPOCHS_NS["relative"]

    def ns(self, t_s: float) -> int:
        """A frame's time; BadData if it is not of the years 2000 to 2099. A candump that begins in 1970 counts from its start."""
        if not abs(t_s) < 1e10:
            raise BadData(f"a frame at {t_s} s: that is no time")
        since = round(t_s * 1e9)
        assert self.zero_ns is not None
        if self.kind == "candump" and self.zero_ns == 0 and since < T_MIN_NS:
            self.name, self.zero_ns = "relative", maps.EPOCHS_NS["relative"]
        t_ns = self.zero_ns + since
        if not T_MIN_NS <= t_ns < T_MAX_NS:
            raise BadData(f"a frame at {t_ns} ns: that is no time of the years 2000 to 2099")
        return t_ns

    def facts(self, t0_ns: int, *, derived: tuple[str, ...]) -> DriveFacts:
        """What is known about the drive."""
        day = day_of(t0_ns)
        said = self.said
        error = {"relative": None, "local": ZONE_NS}.get(self.name, said.clock_error_ns if said else None)
        name = said.clock if said and said.clock and self.name == "utc" else self.name
        vehicle_id, place = (said.vehicle_id, said.place) if said else ("unknown", "unknown")
        licence = said.licence if said else None
        return DriveFacts(vehicle_id=vehicle_id, place=place, day=day, clock=name, clock_error_ns=error, licence=licence, derived=derived)

    def findings(self) -> Iterator[Finding]:
        """A warning where the times are not UTC."""
        if self.name == "relative":
            yield warning("clock", "the log has no wall clock: t_ns counts from 2000-01-01T00:00:00Z")
        if self.name == "local":
            yield warning("clock", "the log's date has no zone and was taken as UTC; say utc_offset_h in mapping.toml")


@dataclass
class BusBeats:
    """When each identifier of each bus spoke, given out now and then so that memory stays bounded."""

    times: dict[str, list[int]] = field(default_factory=dict)
    known: set[str] = field(default_factory=set)
    held: int = 0

    def take(self, frame: Frame, t_ns: int) -> Iterator[Beats]:
        """Takes one frame; gives what is held once that is much."""
        name = f"can/{frame.bus[:32]}/{frame.address:x}"
        if name not in self.known:
            name = name if len(self.known) < MAX_ADDRESSES else "can/other"
            self.known.add(name)
        self.times.setdefault(name, []).append(t_ns)
        self.held += 1
        if self.held >= BEATS_AT_ONCE:
            yield from self.rest()

    def rest(self) -> Iterator[Beats]:
        """What is held."""
        for name, times in sorted(self.times.items()):
            yield Beats(name, np.array(times, np.int64))
        self.times, self.held = {}, 0


def decode_findings(decoder: Decoder, windows: Windows) -> Iterator[Finding]:
    """Warnings: frames that did not fit their message, samples of one time, mapped messages that never came."""
    if decoder.failed:
        text = ", ".join(f"{name} ({count})" for name, count in sorted(decoder.failed.items()))
        yield warning("decode", f"frames that do not fit the database were left out: {text[:400]}")
    if windows.repeats:
        yield warning("repeats", f"{windows.repeats} samples repeat the time of the one before them and were left out")
    silent = [name for name, samples in sorted(windows.samples.items()) if not samples.times]
    if silent:
        yield warning("silent", f"mapped messages that never came: {', '.join(silent)[:400]}")
