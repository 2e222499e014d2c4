"""From a comma2k19 segment's boot clock to UTC.

Two kinds of evidence: the messages of the live GNSS receivers (their UTC against the boot time at which they were logged; they reach the
log some 0.2 s after the fix, so this offset is late), and `frame_gps_times`, where the dataset's own solution of the raw measurements says
when each camera frame was taken in GPS time. The solution is taken where it is there and agrees with the receivers to a second; the error
is the largest disagreement between all of them. GPS is ahead of UTC by 18 s since 2017 (IERS Bulletin C 52).
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from flywheel.ingest.comma2k19_arrays import Channel, boot_seconds, numbers
from flywheel.ingest.drive import Finding, Log, warning
from flywheel.ingest.quality import T_MAX_NS, T_MIN_NS

Array = NDArray[np.float64]
Times = NDArray[np.int64]
GPS_EPOCH_NS, WEEK_NS, LEAP_NS = 315_964_800 * 10**9, 604_800 * 10**9, 18 * 10**9
AGREE_NS = 10**9
# How late live messages may be, where nothing else is there to compare them with (204 ms and 148 ms were seen).
LIVE_DELAY_NS = 250_000_000
LIVE = ("live_gnss_ublox", "live_gnss_qcom")
EPOCH_2000_NS = T_MIN_NS


class Clock(NamedTuple):
    """UTC = boot time + offset_ns, give or take error_ns (None: unknown, the offset only moves the times to the year 2000)."""

    offset_ns: int
    error_ns: int | None
    name: str
    findings: tuple[Finding, ...] = ()

    def ns(self, t_s: Array) -> Times:
        """Boot seconds as int64 ns UTC."""
        return np.asarray(np.round(t_s * 1e9), np.int64) + self.offset_ns


def load_clock(log: Log, gnss: dict[str, Channel]) -> Clock:
    """The segment's clock from whatever evidence it holds; counted from the year 2000 with a warning if there is none."""
    offsets = {name: offset for name in LIVE if name in gnss and (offset := live_offset(gnss[name])) is not None}
    solved = solved_offset(log)
    return choose(offsets, solved)


def utc_ns(channel: Channel) -> Times:
    """The UTC stamps of a live_gnss channel (milliseconds; the README calls them seconds, which are told apart by their size)."""
    stamp = channel.values[:, 3]
    in_ms = stamp if len(stamp) and np.median(stamp) > 1e11 else stamp * 1e3
    return np.asarray(np.round(np.clip(in_ms, -9e12, 9e12)), np.int64) * 10**6


def live_offset(channel: Channel) -> tuple[int, int] | None:
    """UTC minus boot time of a receiver: the median and half the interquartile range, in ns; None without plausible stamps."""
    stamps = utc_ns(channel)
    good = (stamps > T_MIN_NS) & (stamps < T_MAX_NS)
    if not good.any():
        return None
    apart = stamps[good] - np.asarray(np.round(channel.t_s[good] * 1e9), np.int64)
    return int(np.median(apart)), int(np.subtract(*np.percentile(apart, [75, 25])) / 2)


def solved_offset(log: Log) -> int | None:
    """UTC minus boot time by frame_times and frame_gps_times [week, seconds of the week]; None if they are not there or do not fit."""
    boot, gps = "global_pose/frame_times", "global_pose/frame_gps_times"
    if boot not in log.paths or gps not in log.paths:
        return None
    t_s, week = boot_seconds(boot, numbers(log, boot)), numbers(log, gps)
    if week.shape != (len(t_s), 2) or not len(t_s) or not np.isfinite(week).all() or not ((week >= 0) & (week < 1e6)).all():
        return None
    stamps = GPS_EPOCH_NS - LEAP_NS + week[:, 0].astype(np.int64) * WEEK_NS + np.asarray(np.round(week[:, 1] * 1e9), np.int64)
    return int(np.median(stamps - np.asarray(np.round(t_s * 1e9), np.int64)))


def choose(live: dict[str, tuple[int, int]], solved: int | None) -> Clock:
    """The clock of the evidence: receivers' (offset, spread) and the solution's offset."""
    if not live and solved is None:
        text = "no GNSS time: t_ns counts boot time from 2000-01-01T00:00:00Z"
        return Clock(EPOCH_2000_NS, None, "relative", (warning("clock", text),))
    best = next(iter(live.values()), (0, 0))[0]
    if solved is not None and (not live or abs(solved - best) <= AGREE_NS):
        error = max((abs(offset - solved) + spread for offset, spread in live.values()), default=LIVE_DELAY_NS)
        return Clock(solved, error, "boot+gnss")
    error = max(LIVE_DELAY_NS, *(abs(offset - best) + spread for offset, spread in live.values()))
    return Clock(best, error, "boot+gnss", _doubt(best, solved))


def _doubt(best: int, solved: int | None) -> tuple[Finding, ...]:
    if solved is None:
        return ()
    text = f"frame_gps_times and the live GNSS disagree by {(solved - best) / 1e9:.1f} s: the live GNSS is believed"
    return (warning("clock", text),)
