"""The ego's motion from ROS topics: of each kind of message one topic carries the columns of SIGNALS, the others are compared with it."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from flywheel.errors import BadData
from flywheel.ingest.clocks import Thinned
from flywheel.ingest.drive import Finding, Item, Rows, warning
from flywheel.ingest.ego_path import EgoPath
from flywheel.ingest.quality import check_finite
from flywheel.ingest.ros_derive import Columns, ego_path, fix_columns, imu_columns, path_columns, twist_columns
from flywheel.ingest.ros_frames import Frames
from flywheel.ingest.ros_samples import (
    COMMAND,
    FIX,
    IMU,
    MOTION,
    NEWS,
    ODOMETRY,
    PATH,
    REPEAT,
    STANDING,
    STEERING,
    TF,
    TWISTS,
    VELOCITY,
    Kind,
    Series,
    Values,
    Window,
)
from flywheel.ingest.signals import Stream, signals_table
from flywheel.ingest.whereabouts import metres

FIX_REPEAT_NS = 10**9
STILL_M = 0.5
PATHS, SPEEDS, STEERINGS = (ODOMETRY, PATH, TF), (VELOCITY, TWISTS), (STEERING, COMMAND)
ORIENTATION = ("qw", "qx", "qy", "qz")
MICRO = 1e6


class Motion:
    """Samples of every topic that tells of the ego's motion, and SIGNALS made of them window by window."""

    def __init__(self, frames: Frames) -> None:
        self.frames = frames
        self.derived: set[str] = set()
        self._series: dict[tuple[str, str], Series] = {}
        self._leaders: dict[str, Series] = {}
        self._dropped: Counter[str] = Counter()
        self._apart: dict[tuple[str, str], Thinned] = {}
        self._fixes = (Thinned(), Thinned())
        self._news: dict[str, tuple[int, Values]] = {}
        self._origin: tuple[float, float] | None = None
        self._driven = self._loose_imu = False

    def expect(self, topic: str, type_name: str, messages: int) -> None:
        """Makes a topic known, with how many messages it will hold (0: not known)."""
        if type_name in MOTION:
            self._of(topic, MOTION[type_name]).messages += messages

    def take(self, topic: str, type_name: str, t_ns: int, stamp_ns: int | None, message: Any) -> None:
        """One message of a known type; BadData if it cannot be used."""
        series = self._of(topic, MOTION[type_name])
        values = series.kind.values(message)
        if series.kind is FIX:
            if not self._is_fix(topic, message, values):
                return
            values = (*values, self._fresh(topic, t_ns, values))
        if not series.frame and hasattr(message, "header"):
            series.frame = message.header.frame_id.lstrip("/")
            if series.kind is ODOMETRY and not self.frames.named_ego:
                self.frames.named_ego = message.child_frame_id.lstrip("/")
        series.stamped(t_ns, stamp_ns)
        series.add(t_ns, values)

    def take_transforms(self, t_ns: int, message: Any) -> None:
        """A TFMessage: the tree of frames, and the ego's pose in it."""
        found = self.frames.ego_pose(self.frames.take(message))
        if found is not None:
            series = self._of(f"tf {found[0]} to {self.frames.ego}", TF)
            series.frame = found[0]
            series.add(t_ns, TF.values(found[1]))

    def path(self) -> tuple[str, EgoPath] | None:
        """The world frame's name and the ego's path there, over the samples kept, by their stamps; None if no pose is known."""
        leader = next((self._leaders[kind.name] for kind in PATHS if kind.name in self._leaders), None)
        if leader is None or not leader.times:
            return None
        seen = ego_path(leader.window(0, None))
        return (leader.frame, replace(seen, times=seen.times - leader.late_ns)) if len(seen.times) else None

    def window(self, after_ns: int, until_ns: int | None, *, known_ns: int | None) -> Iterator[Item]:
        """SIGNALS of the times after after_ns and up to until_ns, from samples up to known_ns (None: the end)."""
        self._choose(known_ns)
        cut = {series.key: series.window(after_ns, until_ns, known_ns) for series in self._series.values()}
        windows = {key: seen for key, seen in cut.items() if len(seen.times)}
        led = {kind: windows[series.key] for kind, series in self._leaders.items() if series.key in windows}
        for series in self._series.values():
            if series.key in windows and series.kind.name in led and self._leaders[series.kind.name] is not series:
                self._compare(series, windows[series.key], self._leaders[series.kind.name], led[series.kind.name])
        for kind, seen in led.items():
            self._check(self._leaders[kind], seen)
        streams = [stream for stream in self._streams(led) if len(stream.times)]
        if streams:
            yield Rows("SIGNALS", signals_table(sorted(streams, key=lambda stream: -len(stream.times))))

    def forget(self, before_ns: int) -> None:
        """Drops samples that no later window needs."""
        for series in self._series.values():
            series.forget(before_ns)

    def median_fix(self) -> tuple[float, float] | None:
        """The median latitude and longitude in degrees; None without fixes."""
        if not self._fixes[0].seen:
            return None
        lat, lon = (float(np.median(seen.kept)) / MICRO for seen in self._fixes)
        return lat, lon

    def findings(self) -> Iterator[Finding]:
        """Fixes that were none, and how far topics of one kind are apart."""
        for topic, count in sorted(self._dropped.items()):
            yield warning("gnss", f"{topic}: {count} messages without a fix (status below 0, NaN, or 0 N 0 E) are left out")
        for (kind, topic), apart in sorted(self._apart.items()):
            leader = self._leaders[kind]
            far = f"they differ by {np.median(apart.kept) / MICRO:.3g} {leader.kind.unit} (median)" if apart.seen else "they share no time"
            yield warning("topics", f"{leader.topic} carries the {kind} columns, {topic} tells them too: {far}")
        if self._loose_imu:
            yield warning("frames", "the mount of the IMU is not known: its axes are taken as the ego's")

    def _of(self, topic: str, kind: Kind) -> Series:
        return self._series.setdefault((topic, kind.name), Series(topic=topic, kind=kind))

    def _choose(self, known_ns: int | None) -> None:
        """Of each kind the topic with the most messages leads, of equals the first name; once chosen it stays."""
        counts = {s.key: s.count(known_ns) for s in self._series.values()}
        spoke = sorted((s for s in self._series.values() if counts[s.key]), key=lambda s: (-(s.messages or counts[s.key]), s.topic))
        self._leaders = {s.kind.name: s for s in reversed(spoke)} | self._leaders

    def _is_fix(self, topic: str, message: Any, values: Values) -> bool:
        lat, lon = values
        if message.status.status < 0 or not (np.isfinite(lat) and np.isfinite(lon)) or (lat, lon) == (0.0, 0.0):
            self._dropped[topic] += 1
            return False
        if abs(lat) > 90 or abs(lon) > 180:
            raise BadData(f"latitude {lat}, longitude {lon}")
        self._origin = self._origin or (lat, lon)
        return True

    def _fresh(self, topic: str, t_ns: int, values: Values) -> float:
        """Whether a fix differs from the topic's last one, repeats it, or is the first to do so for (another) second."""
        since, last = self._news.get(topic, (0, ()))
        if values == last and t_ns - since < FIX_REPEAT_NS:
            return REPEAT
        self._news[topic] = (t_ns, values)
        return STANDING if values == last else NEWS

    def _check(self, series: Series, seen: Window) -> None:
        """BadData if what the leader says is not finite (orientations and what an IMU does not measure may be unknown)."""
        times = seen.times[seen.inside]
        for name in (name for name in series.kind.columns if name not in ORIENTATION):
            values = seen[name][seen.inside]
            if not (series.kind is IMU and np.isnan(values).all()):
                check_finite(series.topic, name, times=times, values=values)

    def _compare(self, other: Series, seen: Window, leader: Series, led: Window) -> None:
        """Keeps how far the other topic is from the leader, where the leader speaks just before and after it."""
        apart = self._apart.setdefault((leader.kind.name, other.topic), Thinned())
        if len(led.times) < 2 or (leader.kind.unit == "m" and other.frame != leader.frame and leader.kind is not FIX):
            return
        chosen = seen.only(seen.inside & (seen.times >= led.times[0]) & (seen.times <= led.times[-1]))
        there = np.stack([np.interp(chosen.times, led.times, led[name]) for name in leader.kind.apart], axis=-1)
        here = np.stack([chosen[name] for name in leader.kind.apart], axis=-1)
        if leader.kind is FIX and self._origin is not None:
            here, there = (metres(place[:, 0], place[:, 1], origin=self._origin) for place in (here, there))
        far = np.linalg.norm(here - there, axis=-1)
        apart.see(np.round(np.minimum(far[np.isfinite(far)], 1e9) * MICRO).astype(np.int64))

    def _streams(self, led: dict[str, Window]) -> Iterator[Stream]:
        path = next((led[kind.name] for kind in PATHS if kind.name in led), None)
        twist = self._twist(path, next((led[kind.name] for kind in SPEEDS if kind.name in led), None))
        if FIX.name in led and self._origin is not None:
            fix = led[FIX.name]
            for seen, places in zip(self._fixes, (fix["lat_deg"], fix["lon_deg"]), strict=True):
                seen.see(np.round(places[fix.inside] * MICRO).astype(np.int64))
            yield self._stream(fix, fix_columns(fix, origin=self._origin, place=path is None, speed=path is None and twist is None))
        if path is not None:
            yield self._stream(path, path_columns(path, moving=twist is None))
        if twist is not None:
            yield self._stream(twist, twist_columns(twist))
        if IMU.name in led:
            mount = self.frames.mount(self._leaders[IMU.name].frame)
            self._loose_imu = mount is None
            yield self._stream(led[IMU.name], imu_columns(led[IMU.name], mount=mount))
        steering = next((led[kind.name] for kind in STEERINGS if kind.name in led), None)
        if steering is not None:
            yield self._stream(steering, Columns({"steering_rad": steering["steering_rad"]}))

    def _twist(self, path: Window | None, other: Window | None) -> Window | None:
        """The samples that give the speed: the odometry's twist, unless it has always been zero though the pose moves; else the other's."""
        if path is None or "speed_mps" not in path.columns:
            return other
        self._driven = self._driven or bool(path["speed_mps"].any())
        moved = max(float(np.ptp(path["x_m"])), float(np.ptp(path["y_m"]))) > STILL_M
        return path if self._driven or (other is None and not moved) else other

    def _stream(self, seen: Window, columns: Columns) -> Stream:
        if seen.inside.any():
            self.derived |= {name for name in columns.derived if np.isfinite(columns.values[name][seen.inside]).any()}
        return Stream(times=seen.times[seen.inside], columns={name: values[seen.inside] for name, values in columns.values.items()})
