"""Privacy by policy: the first and last metres of a route never reach the tables or the media.

`policy/ingest.json` in the root asks for it. A log is then read twice: once to learn when it had driven the first metres and when the last
ones began, and once more with every item outside that time left out before it is spooled, counted or judged.

Distances err on the side of trimming more: creeping below 0.2 m/s, holes of more than a second and jumps of position count as nothing.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from pydantic import Field, ValidationError

from flywheel.errors import BadData
from flywheel.ingest.drive import Beats, Blob, DriveFacts, Finding, Item, Picture, Rows, warning
from flywheel.ingest.gates_parts import batches
from flywheel.ingest.spool import Spool
from flywheel.ingest.tally import MAX_GAP_S, column
from flywheel.ingest.whereabouts import EARTH_RADIUS_M
from flywheel.store import Store
from flywheel.types import Record

POLICY_KEY = "policy/ingest.json"
FRAME_COLUMNS = ["t_ns", "media_sha256", "ext"]
CREEP_MPS = 0.2
HOP_M, JUMP_MPS = 1.0, 90.0
WHOLE_FILE = "mp4"
Times = NDArray[np.int64]
Array = NDArray[np.float64]


class TrimPolicy(Record):
    """How many metres of each route stay out, and what to do with a video file that shows some of them."""

    trim_start_m: float = Field(default=0, ge=0, le=100_000)
    trim_end_m: float = Field(default=0, ge=0, le=100_000)
    video: Literal["quarantine", "keep"] = "quarantine"


class Window(NamedTuple):
    """What may be kept of a drive: its times (both included), no media that also hold other times, and how many metres that leaves out."""

    t0_ns: int
    t1_ns: int
    tainted: frozenset[str]
    trimmed_m: float


def read_policy(store: Store) -> TrimPolicy | None:
    """The root's ingest policy; None if it has none, BadData (nothing may be ingested) if it cannot be understood."""
    try:
        return TrimPolicy.model_validate_json(store.get(POLICY_KEY))
    except KeyError:
        return None
    except ValidationError as err:
        wrong = "; ".join(f"{'.'.join(map(str, e['loc'])) or 'the file'}: {e['msg']}" for e in err.errors())
        raise BadData(f"{POLICY_KEY} in {store.uri} is not a policy, so nothing is ingested: {wrong}") from err


def trimmed(read: Callable[[], Iterable[Item]], policy: TrimPolicy | None, *, folder: Path) -> tuple[Iterator[Item], float | None]:
    """A drive's items within the policy, and the metres left out (None without a policy). BadData if the trim cannot be done.

    `read` gives the items anew at each call; `folder` takes the parts of the first pass.
    """
    if policy is None or not (policy.trim_start_m or policy.trim_end_m):
        return iter(read()), None if policy is None else 0.0
    window = find_window(read(), policy, folder=folder)
    return _kept(read(), window, policy), window.trimmed_m


def find_window(items: Iterable[Item], policy: TrimPolicy, *, folder: Path) -> Window:
    """What the policy leaves of a drive. BadData if it drove less than the trim, or if nothing says how far it drove."""
    folder.mkdir()
    spool = Spool(folder, drive_id="")
    try:
        spool.fill(item for item in items if isinstance(item, Rows) and item.table in ("SIGNALS", "FRAMES"))
    finally:
        spool.close()
    points = travelled(spool.files.get("SIGNALS"), spool.tally.measured, policy)
    ends = Ends(policy)
    for times, driven_m in points:
        ends.see(times, driven_m)
    t0_ns, t1_ns, kept_m = ends.kept()
    tainted = _tainted(spool.files.get("FRAMES"), t0_ns, t1_ns, keep_videos=policy.video == "keep")
    return Window(t0_ns, t1_ns, tainted, ends.total_m - kept_m)


def travelled(signals: Path | None, measured: set[str], policy: TrimPolicy) -> Iterator[tuple[Times, Array]]:
    """(times, metres driven by then) of a spooled SIGNALS part, piece by piece: from the speed, else x and y, else the coordinates."""
    step: BySpeed | ByPlace = BySpeed()
    if "speed_mps" in measured:
        names = ["speed_mps"]
    elif {"x_m", "y_m"} <= measured:
        names, step = ["x_m", "y_m"], ByPlace(geographic=False)
    elif {"lat_deg", "lon_deg"} <= measured:
        names, step = ["lat_deg", "lon_deg"], ByPlace(geographic=True)
    else:
        asked = f"{policy.trim_start_m:g} m at the start and {policy.trim_end_m:g} m at the end"
        raise BadData(f"{POLICY_KEY} trims {asked}, but the log holds neither speed nor position to measure them by")
    for table in batches(signals, ["t_ns", *names]) if signals else ():
        values = np.stack([column(table, name) for name in names], axis=1)
        known = np.isfinite(values).all(axis=1)
        times = column(table, "t_ns")[known].astype(np.int64)
        if len(times):
            yield times, step.see(times, values[known])


@dataclass
class BySpeed:
    """Metres driven by the trapezoid of |speed|."""

    total_m: float = 0.0
    last: tuple[int, float] | None = None

    def see(self, times: Times, values: Array) -> Array:
        """Metres driven by each time."""
        speed = np.abs(values[:, 0])
        speed[speed < CREEP_MPS] = 0
        before_t, before_v = self.last or (int(times[0]), float(speed[0]))
        steps_s = np.diff(np.r_[before_t, times]) / 1e9
        parts = steps_s * (speed + np.r_[before_v, speed[:-1]]) / 2
        driven = self.total_m + np.cumsum(np.where(steps_s <= MAX_GAP_S, parts, 0))
        self.total_m, self.last = float(driven[-1]), (int(times[-1]), float(speed[-1]))
        return driven


@dataclass
class ByPlace:
    """Metres driven by hops of at least a metre between places, so that noise at a standstill adds nothing."""

    geographic: bool
    total_m: float = 0.0
    anchor: tuple[int, float, float] | None = None

    def see(self, times: Times, values: Array) -> Array:
        """Metres driven by each time."""
        driven = np.empty(len(times))
        for k, (t, a, b) in enumerate(zip(times.tolist(), *values.T.tolist(), strict=True)):
            at, x, y = self.anchor or (t, a, b)
            hop = self._apart(x, y, a, b)
            if self.anchor is None or hop >= HOP_M:
                self.total_m += hop if hop <= JUMP_MPS * max((t - at) / 1e9, 0.01) else 0
                self.anchor = (t, a, b)
            driven[k] = self.total_m
        return driven

    def _apart(self, x: float, y: float, a: float, b: float) -> float:
        if not self.geographic:
            return float(np.hypot(a - x, b - y))
        north, east = np.radians(a - x), np.radians((b - y + 180) % 360 - 180) * np.cos(np.radians(x))
        return EARTH_RADIUS_M * float(np.hypot(north, east))


@dataclass
class Ends:
    """Finds where the first metres end and the last ones begin, holding only the points of the last metres."""

    policy: TrimPolicy
    t0_ns: int | None = None
    at_t0_m: float = 0.0
    total_m: float = 0.0
    tail: list[tuple[Times, Array]] = field(default_factory=list)

    def see(self, times: Times, driven_m: Array) -> None:
        """Takes more points."""
        past = np.flatnonzero(driven_m >= self.policy.trim_start_m)
        if self.t0_ns is None and len(past):
            self.t0_ns, self.at_t0_m = int(times[past[0]]), float(driven_m[past[0]])
        moved = np.diff(np.r_[self.total_m if self.tail else -1.0, driven_m]) > 0
        self.total_m = float(driven_m[-1])
        if moved.any():
            self.tail.append((times[moved], driven_m[moved]))
        while len(self.tail) > 1 and self.tail[1][1][0] <= self.total_m - self.policy.trim_end_m:
            self.tail.pop(0)

    def kept(self) -> tuple[int, int, float]:
        """The first and last time that may be kept, and the metres between them; BadData if nothing is left."""
        before_end = [(int(t), float(m)) for times, driven in self.tail for t, m in zip(times, driven, strict=True)]
        last = max((p for p in before_end if p[1] <= self.total_m - self.policy.trim_end_m), default=None)
        if self.t0_ns is None or last is None or last[0] <= self.t0_ns:
            asked = f"{self.policy.trim_start_m:g} + {self.policy.trim_end_m:g} m"
            raise BadData(f"{self.total_m:.0f} m driven, and {POLICY_KEY} trims {asked}: nothing of this drive may be kept")
        return self.t0_ns, last[0], last[1] - self.at_t0_m


def _tainted(frames: Path | None, t0_ns: int, t1_ns: int, *, keep_videos: bool) -> frozenset[str]:
    """Hashes of media that hold a dropped time; BadData for a video file that holds kept times too, unless such files are kept."""
    if frames is None:
        return frozenset()
    outside, whole = set(), set()
    for table in batches(frames, FRAME_COLUMNS):
        out = pc.or_(pc.less(table["t_ns"], t0_ns), pc.greater(table["t_ns"], t1_ns))
        outside |= set(table.filter(out)["media_sha256"].to_pylist())
    for table in batches(frames, FRAME_COLUMNS):
        inside = table.filter(pc.and_(pc.greater_equal(table["t_ns"], t0_ns), pc.less_equal(table["t_ns"], t1_ns)))
        whole |= {row["media_sha256"] for row in inside.to_pylist() if row["ext"] == WHOLE_FILE and row["media_sha256"] in outside}
    if whole and not keep_videos:
        raise BadData(
            f'{len(whole)} video files show parts of the route that {POLICY_KEY} trims: set "video": "keep" there to keep the whole files, '
            "or cut them before landing"
        )
    return frozenset(outside - whole)


def _kept(items: Iterable[Item], window: Window, policy: TrimPolicy) -> Iterator[Item]:
    """The items inside the window; places are counted from the first one that is kept, so that they do not tell where the drive began."""
    origin: dict[str, float] = {}
    text = f"{policy.trim_start_m:g} m at the start and {policy.trim_end_m:g} m at the end of the route were left out by {POLICY_KEY}"
    yield warning("trim", text)
    for item in items:
        match item:
            case Rows():
                yield Rows(item.table, _from_origin(_rows(item, window), origin) if item.table == "SIGNALS" else _rows(item, window))
            case Picture() if window.t0_ns <= item.t_ns <= window.t1_ns:
                yield item
            case Beats():
                inside = (item.t_ns >= window.t0_ns) & (item.t_ns <= window.t1_ns)
                yield Beats(item.sensor, item.t_ns[inside], None if item.stamp_ns is None else item.stamp_ns[inside])
            case Blob() | Finding() | DriveFacts():  # a blob that no kept frame names is not stored
                yield item


def _rows(item: Rows, window: Window) -> pa.Table:
    table = item.rows
    if "t_ns" not in table.column_names:
        raise BadData(f"{item.table} rows hold no times, so {POLICY_KEY} cannot be kept")
    inside = table.filter(pc.and_(pc.greater_equal(table["t_ns"], window.t0_ns), pc.less_equal(table["t_ns"], window.t1_ns)))
    if item.table != "FRAMES" or not window.tainted:
        return inside
    return inside.filter(pc.invert(pc.is_in(inside["media_sha256"], pa.array(sorted(window.tainted), pa.string()))))


def _from_origin(table: pa.Table, origin: dict[str, float]) -> pa.Table:
    for name in ("x_m", "y_m"):
        if name not in table.column_names or not len(table):
            continue
        known = table[name].drop_null()
        if name not in origin and len(known):
            origin[name] = float(known[0].as_py())
        at = table.column_names.index(name)
        table = table.set_column(at, name, pc.subtract(table[name].cast(pa.float64()), origin.get(name, 0.0)))
    return table
