"""The ego's place across the road, made continuous: lane numbers jump when the ego crosses a line, the ego does not."""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from flywheel.mine.filters import low_pass
from flywheel.mine.segments import NS, Clock, Ints, Mask, Reals
from flywheel.mine.signals import column, nearest, resample, times

LANE_GAP_S = 0.5
JUMP_SHARE = 0.5


@dataclass(frozen=True)
class Lanes:
    """Map context at the LANES samples. All lateral places count from the first lane's centre, positive to the left.

    `ego_m` is the ego's place, `centre_m` the present lane's centre, so the offset is ego_m - centre_m; metres.
    `rows` are the LANES rows themselves.
    """

    clock: Clock
    index: Ints
    centre_m: Reals
    ego_m: Reals
    width_m: Reals
    in_junction: Mask
    junction_m: Reals
    rows: pa.Table

    def says(self, name: str) -> Reals:
        """One of the LANES columns at the samples, NaN where the map does not say."""
        return column(self.rows, name)

    def ruled_by(self, control: str) -> Mask:
        """At which samples the next stop line is ruled by `light`, `stop` or `yield`."""
        said = pa.compute.equal(self.rows["control"], control).fill_null(False)
        return np.asarray(said.to_numpy(zero_copy_only=False), bool)

    @property
    def lateral_mps(self) -> Reals:
        """The ego's lateral speed, low-passed at 2 Hz."""
        if len(self.ego_m) < 2:
            return np.zeros_like(self.ego_m)
        smooth = low_pass(self.ego_m, self.clock, cutoff_hz=2.0)
        return np.gradient(smooth, (self.clock.t_ns - self.clock.t_ns[0]) / NS)

    def at(self, t_ns: Ints, values: Reals) -> Reals:
        """A continuous series at other times."""
        return resample(t_ns, (self.clock.t_ns, values))

    def latest(self, t_ns: Ints, values: Reals) -> Reals:
        """A stepwise series at other times: the value of the nearest sample."""
        return np.asarray(values[nearest(self.clock.t_ns, t_ns)])

    def covers(self, t_ns: Ints) -> Mask:
        """Whether a sample lies within the gap limit of each time."""
        return np.asarray(np.abs(self.clock.t_ns[nearest(self.clock.t_ns, t_ns)] - t_ns) <= LANE_GAP_S * NS)


def read_lanes(lanes: pa.Table) -> Lanes | None:
    """The lanes of a LANES table, or None if it has no row."""
    if len(lanes) == 0:
        return None
    offset, width = column(lanes, "offset_m"), column(lanes, "width_m")
    step = np.diff(offset, prepend=offset[:1])
    jumps = np.abs(step) > JUMP_SHARE * width
    # Across a jump the ego goes on as it does around it.
    around = np.where(jumps, 0.0, step)
    centre = np.cumsum(np.where(jumps, (np.roll(around, 1) + np.roll(around, -1)) / 2 - step, 0.0))
    return Lanes(
        clock=Clock(times(lanes), int(LANE_GAP_S * NS)), index=np.asarray(lanes["lane_index"].to_numpy(), np.int64), centre_m=centre,
        ego_m=offset + centre, width_m=width, in_junction=np.asarray(lanes["in_junction"].to_numpy(zero_copy_only=False), bool),
        junction_m=column(lanes, "junction_m"), rows=lanes,
    )  # fmt: skip
