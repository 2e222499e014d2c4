"""What a traffic light did: its samples in the order of (light, time), and since when each shows its state."""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from flywheel.mine.objects import coded
from flywheel.mine.segments import NS, Ints, Mask, Reals
from flywheel.mine.signals import column, times


@dataclass(frozen=True)
class Phases:
    """Samples of lights. `state` is an index of `names`; `linked`: the sample before is of the same light, a moment ago.

    `since_ns`: when this state was first seen; `line_m`: from the front bumper to the stop line, negative once passed.
    """

    t_ns: Ints
    state: Ints
    names: list[str]
    line_m: Reals
    linked: Mask
    since_ns: Ints

    def shows(self, state: str) -> Mask:
        """Samples of this state."""
        return np.asarray(self.state == (self.names.index(state) if state in self.names else -1))

    def held_s(self) -> Reals:
        """For how long each sample's state has been seen."""
        return (self.t_ns - self.since_ns) / NS

    def after(self, flag: Mask) -> Mask:
        """Samples whose predecessor, of the same light and a moment ago, has the flag."""
        return np.concatenate([[False], flag[:-1]])[: len(flag)] & self.linked

    def until(self, at: int, ends: Mask) -> int:
        """When, from sample `at` on, the first sample with the flag comes, or the light is no longer seen."""
        rest = np.flatnonzero(ends[at + 1 :] | ~self.linked[at + 1 :])
        if len(rest) == 0:
            return int(self.t_ns[-1])
        stop = at + 1 + int(rest[0])
        return int(self.t_ns[stop] if self.linked[stop] else self.t_ns[stop - 1])


def read_phases(lights: pa.Table, *, fresh_s: float) -> Phases:
    """The phases of a LIGHTS table; samples further than `fresh_s` apart are not linked."""
    lights = lights.sort_by([("light_id", "ascending"), ("t_ns", "ascending")])
    t_ns, (state, names), (light, _) = times(lights), coded(lights["state"]), coded(lights["light_id"])
    linked = (np.diff(light, prepend=-1) == 0) & (np.diff(t_ns, prepend=t_ns[:1]) <= fresh_s * NS)
    begins = ~linked | (np.diff(state, prepend=-1) != 0)
    since = t_ns[np.maximum.accumulate(np.where(begins, np.arange(len(t_ns)), 0))]
    return Phases(t_ns, state, names, column(lights, "stop_line_m"), linked, since)
