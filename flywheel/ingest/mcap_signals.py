"""SIGNALS of an MCAP, window by window: every stream laid onto the first one's clock just as if the whole drive were there at once."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from flywheel.ingest.drive import Beats, Finding, Item, Rows
from flywheel.ingest.mcap_json import check_sane, json_columns
from flywheel.ingest.mcap_proto import columns, payloads_of
from flywheel.ingest.mcap_read import Batch
from flywheel.ingest.mcap_streams import Waiting
from flywheel.ingest.signals import Stream, signals_table

Array = NDArray[np.float64]
Times = NDArray[np.int64]

EGO, IMU, GNSS, ENVIRONMENT, VEHICLE = "/ego/state", "/imu", "/gnss", "/environment", "/vehicle"
_EGO = ("speed_mps", "ax_mps2", "ay_mps2", "yaw_rate_radps", "steering_rad", "brake", "throttle", "x_m", "y_m", "heading_rad")
_IMU = ("ax_mps2", "ay_mps2", "az_mps2", "yaw_rate_radps")
_VEHICLE = ("wheel_speed_mps", "engaged", "driver_override", "fcw", "aeb", "abs", "esc")
_SKY = ("sun_elevation_deg", "sun_azimuth_rad", "illuminance_lx", "visibility_m", "rain_mmph", "snow_mmph", "temperature_c")
# The fleet's JSON topics -> {field of the message: column of SIGNALS}.
JSON_SIGNALS: dict[str, dict[str, str]] = {
    EGO: {name: name for name in _EGO}, IMU: {name: f"imu_{name}" for name in _IMU} | {"roll_rate_radps": "roll_rate_radps"},
    ENVIRONMENT: {name: name for name in _SKY}, VEHICLE: {name: name for name in _VEHICLE},
}  # fmt: skip
# What a row may depend on lies within two periods of the slowest stream; never less than this.
MARGIN_NS = 2 * 10**9
ENOUGH_STEPS = 8


class Samples(NamedTuple):
    """New samples of one stream: times, SIGNALS columns (NaN where a sample has none), the sensor's own stamps where it has any."""

    times: Times
    columns: Mapping[str, Array]
    stamp_ns: Times | None = None


class Source(Protocol):
    """One topic that feeds SIGNALS. lag_ns: how far its samples may stay behind the messages taken; count: how many it will give.

    sensor: whether its samples are a topic's messages (else another sink says when it spoke); derived: the columns it works out.
    """

    topic: str
    lag_ns: int
    count: int
    sensor: bool
    derived: tuple[str, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """The columns it gives."""

    def take(self, batch: Batch) -> None:
        """Takes messages."""

    def advance(self, *, final: bool) -> Samples:
        """The samples that are known since the last call; all the rest if final."""


class JsonSource:
    """A topic of the fleet whose JSON fields are SIGNALS columns."""

    lag_ns, sensor = 0, True
    derived: tuple[str, ...] = ()

    def __init__(self, topic: str, *, count: int) -> None:
        self.topic, self.count, self.fields = topic, count, JSON_SIGNALS[topic]
        self.names = tuple(self.fields.values())
        self.waiting = Waiting(topic)

    def take(self, batch: Batch) -> None:
        """Takes messages."""
        self.waiting.take(batch)

    def advance(self, *, final: bool) -> Samples:
        """All that was taken."""
        times, batches = self.waiting.drain()
        payloads = [data for batch in batches for data in batch.data]
        found = json_columns(self.topic, times, payloads, dict.fromkeys(self.fields, pa.float64())) if payloads else None
        values = {name: found[said].to_numpy() if found else np.empty(0) for said, name in self.fields.items()}
        return Samples(times, values)


class FixSource:
    """A topic of foxglove.LocationFix. strict: a fix that is no number is BadData, else it is left out and counted in `lost`."""

    lag_ns, names, sensor = 0, ("lat_deg", "lon_deg"), True
    derived: tuple[str, ...] = ()

    def __init__(self, topic: str, *, count: int, strict: bool = True) -> None:
        self.topic, self.count, self.strict, self.waiting = topic, count, strict, Waiting(topic)
        self.lost, self.places = 0, Places()

    def take(self, batch: Batch) -> None:
        """Takes messages."""
        self.waiting.take(batch)

    def advance(self, *, final: bool) -> Samples:
        """All that was taken."""
        times, batches = self.waiting.drain()
        payloads = [data for batch in batches for data in payloads_of(batch, "LocationFix")]
        if not payloads:
            return Samples(times, {name: np.empty(0) for name in self.names})
        found = columns(self.topic, times, "LocationFix", payloads)
        lat, lon, stamped = found["latitude"].to_numpy(), found["longitude"].to_numpy(), stamps(found["timestamp"])
        whole = (np.abs(lat) <= 90) & (np.abs(lon) <= 360)
        if self.strict:
            for said, column in (("latitude", lat), ("longitude", lon)):
                check_sane(self.topic, said, times=times, values=column)
        elif not whole.all():
            self.lost += int((~whole).sum())
            times, lat, lon, stamped = times[whole], lat[whole], lon[whole], None if stamped is None else stamped[whole]
        self.places.see(times, lat, lon)
        return Samples(times, {"lat_deg": lat, "lon_deg": lon}, stamped)


class Places:
    """Where fixes lay, one in ten seconds: enough for the median."""

    def __init__(self) -> None:
        self.next_ns, self.kept = 0, list[tuple[float, float]]()

    def see(self, times: Times, lat: Array, lon: Array) -> None:
        """Takes more fixes."""
        while (at := int(np.searchsorted(times, self.next_ns))) < len(times):
            self.kept.append((float(lat[at]), float(lon[at])))
            self.next_ns = int(times[at]) + 10**10

    def median(self) -> tuple[float, float] | None:
        """Latitude and longitude; None without a fix."""
        return tuple(np.median(np.array(self.kept), axis=0).tolist()) if self.kept else None


def stamps(column: pa.Array) -> Times | None:
    """The sensor's stamps in ns; None unless every message has one."""
    return None if column.null_count else np.asarray(column.cast(pa.int64()).to_numpy())


@dataclass(frozen=True)
class Window(Stream):
    """A stretch of a stream; half the whole stream's period was told once."""

    half_ns: int = 0

    @property
    def half_period_ns(self) -> int:
        """Half the stream's period."""
        return self.half_ns


@dataclass
class Signals:
    """The sink of all signal topics; the first source's clock carries the rows."""

    sources: Sequence[Source]
    seconds: float
    held: dict[str, Samples] = field(default_factory=dict)
    half_ns: dict[str, int] = field(default_factory=dict)
    emitted_ns: int = -(1 << 62)
    moved: Samples | None = None

    def take(self, batch: Batch) -> Iterable[Item]:
        """Takes messages of one of the sources."""
        next(source for source in self.sources if source.topic == batch.channel.topic).take(batch)
        return ()

    def cut(self, until_ns: int | None) -> Iterator[Item]:
        """Rows before a time, less what later samples could still change."""
        for source in self.sources:
            new = source.advance(final=until_ns is None)
            if len(new.times) and source.sensor:
                yield Beats(source.topic, new.times, new.stamp_ns)
            self._keep(source, new)
        margin = MARGIN_NS + 4 * max(self.half_ns.values(), default=0)
        upto = (1 << 62) if until_ns is None else until_ns - margin - max((source.lag_ns for source in self.sources), default=0)
        if upto > self.emitted_ns and any(len(samples.times) for samples in self.held.values()):
            yield from self._rows(upto)
            self.emitted_ns = upto
            self.held = {topic: _since(samples, upto - margin) for topic, samples in self.held.items()}

    def findings(self) -> Iterable[Finding]:
        """None."""
        return ()

    def _keep(self, source: Source, new: Samples) -> None:
        before = self.held.get(source.topic)
        times = np.r_[before.times, new.times] if before else new.times
        values = {name: np.r_[before.columns[name], new.columns[name]] if before else new.columns[name] for name in source.names}
        self.held[source.topic] = Samples(times, values)
        if "speed_mps" in source.names:
            self._move(new)
        if len(times) and source.topic not in self.half_ns:
            self._tell_period(source, times)

    def _move(self, new: Samples) -> None:
        none = np.full(len(new.times), np.nan)
        values = {name: new.columns.get(name, none) for name in ("speed_mps", "yaw_rate_radps")}
        before = self.moved or Samples(new.times[:0], dict.fromkeys(values, none[:0]))
        self.moved = Samples(np.r_[before.times, new.times], {name: np.r_[before.columns[name], values[name]] for name in values})

    def motion(self, times: Times) -> tuple[Array, Array] | None:
        """The ego's (speed, yaw rate) at other times (the nearest known at the ends); None if its speed is not known."""
        if self.moved is None or not np.isfinite(self.moved.columns["speed_mps"]).any():
            return None
        return self._at(times, "speed_mps"), self._at(times, "yaw_rate_radps")

    def _at(self, times: Times, name: str) -> Array:
        assert self.moved is not None
        known = np.isfinite(self.moved.columns[name])
        if not known.any():
            return np.zeros(len(times))
        return np.interp(times.astype(np.float64), self.moved.times[known].astype(np.float64), self.moved.columns[name][known])

    def forget(self, before_ns: int) -> None:
        """Drops the motion before a time."""
        if self.moved is not None:
            self.moved = _since(self.moved, min(before_ns, int(self.moved.times[-1]) if len(self.moved.times) else before_ns))

    def _tell_period(self, source: Source, times: Times) -> None:
        """Half a stream's median step from its first window; from its count where that holds too few."""
        whole = len(times) > ENOUGH_STEPS or len(times) >= source.count > 1
        if whole:
            self.half_ns[source.topic] = int(np.median(np.diff(times))) // 2
        elif source.count > 1:
            self.half_ns[source.topic] = int(self.seconds * 1e9 / (source.count - 1)) // 2

    def _rows(self, upto: int) -> Iterator[Item]:
        base = self.half_ns.get(self.sources[0].topic, 0)
        streams = [
            Window(self.held[s.topic].times, self.held[s.topic].columns, half_ns=self.half_ns.get(s.topic, base)) for s in self.sources
        ]
        table = signals_table(streams)
        begin, end = np.searchsorted(table["t_ns"].to_numpy(), [self.emitted_ns, upto])
        if end > begin:
            yield Rows("SIGNALS", table.slice(begin, end - begin))


def _since(samples: Samples, t_ns: int) -> Samples:
    at = int(np.searchsorted(samples.times, t_ns))
    return Samples(samples.times[at:], {name: values[at:] for name, values in samples.columns.items()})
