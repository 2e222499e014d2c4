"""When each sensor spoke: rate, jitter, gaps, reversals, overlap with the ego signals, and the offset of its own clock.

Memory does not grow with a drive's length: steps go into a histogram, offsets into a thinned sample, the longest gaps into a short list.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from flywheel.ingest.drive import Beats, Finding, warning
from flywheel.ingest.gates_sync import Agreement

Times = NDArray[np.int64]
Array = NDArray[np.float64]
Span = tuple[int, int]

MAX_KEPT = 4096
MAX_GAPS = 32
GAP_PERIODS = 2.5
# Steps from 1 ns to 2^48 ns (78 hours) in classes 2.2 % wide.
PER_OCTAVE, OCTAVES = 32, 48
# A sensor whose median step is BURST times shorter than its mean one speaks in bursts; a step LONELY times the mean is a gap even then.
BURST, LONELY = 5, 100
# A stamp further than this from the drive's clock counts from another moment (boot, say): an offset, but no error of the clock.
SAME_EPOCH_MS = 10_000.0
LONG_GAP_S = 1.0
STEP_MS = 100.0


class Rhythm(NamedTuple):
    """A sensor's regular steps: how many, the rate (of bursts the mean one), their spread, and from where on a step is a gap."""

    steps: int
    rate_hz: float
    jitter_ms: float
    gap_ns: float


@dataclass
class Steps:
    """The steps between samples as a histogram with sums: the same whatever pieces the samples came in."""

    sums: Array = field(default_factory=lambda: np.zeros((3, PER_OCTAVE * OCTAVES)))

    def see(self, steps_ns: Times) -> None:
        """Takes more steps of at least 0 ns."""
        values = steps_ns.astype(np.float64)
        at = np.minimum(np.log2(np.maximum(values, 1.0)) * PER_OCTAVE, self.sums.shape[1] - 1).astype(np.int64)
        for row, weights in enumerate((np.ones_like(values), values, values**2)):
            self.sums[row] += np.bincount(at, weights, self.sums.shape[1])

    def period_ns(self) -> float:
        """The median step; for a sensor that speaks in bursts the step in which half of the time is spent. 0 without steps above 0.

        It is the mean of the class in which the median lies: exact where all steps of that class are equal.
        """
        count, total_ns, _ = self.sums.sum(axis=1)
        median_ns = self._median(self.sums[0])
        if not total_ns or median_ns * BURST >= total_ns / count:
            return median_ns
        classes = int(np.log2(max(LONELY * total_ns / count, 1.0)) * PER_OCTAVE) + 1
        return self._median(self.sums[1, :classes])

    def _median(self, weights: Array) -> float:
        heavier = np.cumsum(weights)
        if not len(heavier) or heavier[-1] <= 0:
            return 0.0
        at = int(np.searchsorted(heavier, heavier[-1] / 2))
        return float(self.sums[1, at] / self.sums[0, at])

    def regular(self, period_ns: float) -> "Rhythm":
        """The steps that are no gaps: not longer than GAP_PERIODS periods, to the class."""
        classes = int(np.log2(max(GAP_PERIODS * period_ns, 1.0)) * PER_OCTAVE) + 1
        n, total, squares = self.sums[:, :classes].sum(axis=1)
        spread_ns = float(np.sqrt(max(squares / n - (total / n) ** 2, 0.0)))
        rate_hz = 1e9 / period_ns if 2 * total / n > period_ns else 1e9 * n / total
        return Rhythm(int(n), float(rate_hz), spread_ns / 1e6, 2 ** (classes / PER_OCTAVE))


@dataclass
class Thinned:
    """At most MAX_KEPT values, evenly spread over all that came, whatever pieces they came in."""

    seen: int = 0
    stride: int = 1
    kept: Times = field(default_factory=lambda: np.empty(0, np.int64))

    def see(self, values: Times) -> None:
        """Takes more values; each time too many are kept, every other one is dropped."""
        self.kept = np.r_[self.kept, values[-self.seen % self.stride :: self.stride]]
        self.seen += len(values)
        while len(self.kept) > MAX_KEPT:
            self.kept, self.stride = self.kept[::2], self.stride * 2


@dataclass
class Beat:
    """One sensor's sums: enough for its row in SENSORS."""

    samples: int = 0
    t0_ns: int = 0
    t1_ns: int = 0
    last_ns: int = 0
    reversals: int = 0
    stamp_reversals: int = 0
    last_stamp_ns: int = 0
    steps: Steps = field(default_factory=Steps)
    offsets: Thinned = field(default_factory=Thinned)
    longest: list[tuple[int, int]] = field(default_factory=list)

    def see(self, beats: Beats) -> None:
        """Takes more samples, in the order they were recorded."""
        times = beats.t_ns
        if not len(times):
            return
        before = times if not self.samples else np.r_[self.last_ns, times]
        steps = np.diff(before)
        self.reversals += int((steps < 0).sum())
        self.steps.see(steps[steps >= 0])
        self._keep_longest(before[:-1], steps)
        low, high = int(times.min()), int(times.max())
        self.t0_ns, self.t1_ns = (min(self.t0_ns, low), max(self.t1_ns, high)) if self.samples else (low, high)
        self.last_ns, self.samples = int(times[-1]), self.samples + len(times)
        if beats.stamp_ns is not None:
            self._see_stamps(times, beats.stamp_ns)

    def _keep_longest(self, starts: Times, steps: Times) -> None:
        top = np.argsort(-steps, kind="stable")[:MAX_GAPS]
        new = [(int(steps[k]), int(starts[k])) for k in top]
        self.longest = sorted([*self.longest, *new], key=lambda gap: (-gap[0], gap[1]))[:MAX_GAPS]

    def _see_stamps(self, times: Times, stamps: Times) -> None:
        said = stamps > 0  # a stamp that was never filled in is 0
        if said.any():
            known = np.r_[self.last_stamp_ns, stamps[said]]
            self.stamp_reversals += int((np.diff(known) < 0).sum())
            self.last_stamp_ns = int(known[-1])
            self.offsets.see((times - stamps)[said])


class Clock(NamedTuple):
    """What a drive's sensors say about its clock: the offset of their own stamps, and how far a time may be off; None if none says."""

    offset_ns: int | None
    error_ns: int | None


@dataclass
class Clocks:
    """All sensors of a drive."""

    beats: dict[str, Beat] = field(default_factory=dict)

    def see(self, beats: Beats) -> None:
        """Takes more samples of a sensor."""
        self.beats.setdefault(beats.sensor, Beat()).see(beats)

    def rows(self, span: Span | None = None) -> list[dict[str, Any]]:
        """SENSORS rows without drive_id; overlap is the share of the span (t0_ns, t1_ns) that a sensor covers (by default all sensors')."""
        spoke = {name: beat for name, beat in sorted(self.beats.items()) if beat.samples}
        if not spoke:
            return []
        whole = span or (min(b.t0_ns for b in spoke.values()), max(b.t1_ns for b in spoke.values()))
        return [_row(name, beat, span=whole) for name, beat in spoke.items()]

    def findings(self, rows: list[dict[str, Any]], *, ego: Span | None) -> list[Finding]:
        """What is wrong with the sensors' times; ego is the time (t0_ns, t1_ns) that the ego signals cover."""
        return [f for f in (*_gaps(rows), *_reversals(self.beats), *_apart(rows, ego), *_stepping(self.beats)) if f]


def _row(name: str, beat: Beat, *, span: Span) -> dict[str, Any]:
    covered = min(beat.t1_ns, span[1]) - max(beat.t0_ns, span[0])
    row: dict[str, Any] = {
        "sensor": name, "samples": beat.samples, "t0_ns": beat.t0_ns, "t1_ns": beat.t1_ns, "reversals": beat.reversals, "gaps": 0,
        "overlap": min(max(covered, 0) / max(span[1] - span[0], 1), 1.0),
    }  # fmt: skip
    period_ns = beat.steps.period_ns()
    if period_ns > 0:
        rhythm = beat.steps.regular(period_ns)
        gaps = [(t_ns, step) for step, t_ns in beat.longest if step >= rhythm.gap_ns]
        row |= {
            "rate_hz": rhythm.rate_hz, "jitter_ms": rhythm.jitter_ms, "gaps": int(beat.steps.sums[0].sum()) - rhythm.steps,
            "longest_gap_s": beat.longest[0][0] / 1e9,
            "gaps_t_ns": [t_ns for t_ns, _ in sorted(gaps)], "gaps_s": [step / 1e9 for _, step in sorted(gaps)],
        }  # fmt: skip
    offsets = beat.offsets.kept
    if len(offsets):
        row |= {
            "offset_ms": float(np.median(offsets)) / 1e6,
            "offset_error_ms": float(np.subtract(*np.percentile(offsets, [75, 25]))) / 2e6,
        }
    return row


def clock_of(rows: list[dict[str, Any]], together: Iterable[Agreement] = ()) -> Clock:
    """From SENSORS rows: the median offset of the sensors whose stamps count from the same moment as the drive's clock.

    The error is the largest |offset| + error among them, or |delay| + error between streams that measure one motion: so far apart may
    the recorded times of one moment lie.
    """
    same = [(r["offset_ms"], r["offset_error_ms"]) for r in rows if abs(r.get("offset_ms", np.inf)) <= SAME_EPOCH_MS]
    worst_ms = [abs(offset) + error for offset, error in same] + [1e3 * (abs(one.delay_s) + one.error_s) for one in together]
    offset_ms = float(np.median([offset for offset, _ in same])) if same else None
    return Clock(None if offset_ms is None else round(offset_ms * 1e6), round(max(worst_ms) * 1e6) if worst_ms else None)


def _gaps(rows: list[dict[str, Any]]) -> list[Finding]:
    """Sensors that fell silent for longer than LONG_GAP_S and than their own rhythm explains."""
    return [
        warning("sensor_gaps", f"{r['sensor']}: {r['gaps']} gaps, the longest {r['longest_gap_s']:.2f} s at {r['gaps_t_ns'][at]} ns")
        for r in rows
        if r["gaps"] and r["longest_gap_s"] > LONG_GAP_S and r["samples"] > MAX_GAPS
        for at in [int(np.argmax(r["gaps_s"]))]
    ]  # fmt: skip


def _reversals(beats: dict[str, Beat]) -> list[Finding]:
    """Sensors whose times, or whose own stamps, go back."""
    recorded = [warning("sensor_order", f"{name}: time goes back {b.reversals} times") for name, b in sorted(beats.items()) if b.reversals]
    return recorded + [
        warning("sensor_order", f"{name}: its own stamps go back {b.stamp_reversals} times in {b.samples} samples")
        for name, b in sorted(beats.items())
        if b.stamp_reversals
    ]


def _apart(rows: list[dict[str, Any]], ego: Span | None) -> list[Finding]:
    """Sensors that never speak while the ego signals run."""
    if ego is None:
        return []
    return [
        warning("overlap", f"{r['sensor']} spoke from {r['t0_ns']} to {r['t1_ns']} ns, outside the ego signals ({ego[0]} to {ego[1]} ns)")
        for r in rows
        if r["samples"] > 1 and (r["t1_ns"] < ego[0] or r["t0_ns"] > ego[1])
    ]


def _stepping(beats: dict[str, Beat]) -> list[Finding]:
    """Sensors whose own clock is not steady against the drive's: the offset moves by more than STEP_MS within the drive."""
    found = []
    for name, beat in sorted(beats.items()):
        offsets = beat.offsets.kept / 1e6
        moved = float(np.subtract(*np.percentile(offsets, [98, 2]))) if len(offsets) else 0.0
        if moved > STEP_MS:
            found.append(warning("sensor_clock", f"{name}: its own clock moves by {moved:.0f} ms against the drive's within the drive"))
    return found


def overlap_gate(spans: dict[str, Span]) -> list[Finding]:
    """Tables that share no time with SIGNALS: a warning each, an error if that is all of them."""
    ego = spans.get("SIGNALS")
    others = {name: span for name, span in sorted(spans.items()) if name != "SIGNALS"}
    if ego is None or not others:
        return []
    apart = {name: span for name, span in others.items() if span[1] < ego[0] or span[0] > ego[1]}
    severity = "error" if len(apart) == len(others) else "warning"
    text = "{} runs from {} to {} ns, the ego signals from {} to {} ns: they share no moment, so their clocks differ"
    return [
        Finding.model_validate({"severity": severity, "gate": "overlap", "message": text.format(name, *span, *ego)})
        for name, span in apart.items()
    ]
