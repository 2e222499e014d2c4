"""Responsibility-sensitive safety (Shalev-Shwartz et al., arXiv:1708.06374): least distances, always under a named parameter set.

Published sets differ by a factor of three, so a violation means nothing without the name of its set.
"""

import numpy as np
from numpy.typing import ArrayLike

from flywheel.mine.segments import Mask, Reals
from flywheel.types import Record

GRAVITY_MPS2 = 9.81


class RssParameters(Record):
    """One set of assumptions: response times s, accelerations m/s2 (all positive), the lateral margin m."""

    name: str
    response_ego_s: float
    response_other_s: float
    accelerate_mps2: float
    brake_min_mps2: float
    brake_max_mps2: float
    brake_min_correct_mps2: float
    lateral_accelerate_mps2: float
    lateral_brake_mps2: float
    margin_m: float


AD_RSS = RssParameters(
    name="ad-rss-lib start values", response_ego_s=1.0, response_other_s=2.0, accelerate_mps2=3.5, brake_min_mps2=4.0, brake_max_mps2=8.0,
    brake_min_correct_mps2=3.0, lateral_accelerate_mps2=0.2, lateral_brake_mps2=0.8, margin_m=0.10,
)  # fmt: skip
R157_RSS = RssParameters(
    name="esmini R157-RSS", response_ego_s=0.75, response_other_s=0.75, accelerate_mps2=3.0, brake_min_mps2=0.774 * GRAVITY_MPS2,
    brake_max_mps2=0.774 * GRAVITY_MPS2, brake_min_correct_mps2=0.774 * GRAVITY_MPS2, lateral_accelerate_mps2=1.0, lateral_brake_mps2=1.0,
    margin_m=0.3,
)  # fmt: skip
RSS_SETS: dict[str, RssParameters] = {rules.name: rules for rules in (AD_RSS, R157_RSS)}


def _reals(*values: ArrayLike) -> list[Reals]:
    return [np.asarray(value, np.float64) for value in values]


def rss_longitudinal(rear_mps: ArrayLike, front_mps: ArrayLike, rules: RssParameters, *, response_s: float | None = None) -> Reals:
    """Least gap behind one that drives the same way, m; whoever reverses counts as standing.

    The rear one's response time is the ego's unless given (`rules.response_other_s` where the other is behind the ego).
    """
    rear, front = (np.maximum(speed, 0.0) for speed in _reals(rear_mps, front_mps))
    rho, rise = rules.response_ego_s if response_s is None else response_s, rules.accelerate_mps2
    stops = rear * rho + rise * rho**2 / 2 + (rear + rho * rise) ** 2 / (2 * rules.brake_min_mps2)
    return np.maximum(stops - front**2 / (2 * rules.brake_max_mps2), 0.0)


def rss_opposite(ego_mps: ArrayLike, other_mps: ArrayLike, rules: RssParameters) -> Reals:
    """Least gap to an oncoming one, m, the ego in its correct lane; only the sizes of the speeds count. Each has its own response time."""

    def stops(speed: Reals, rho: float, brake: float) -> Reals:
        fast = np.abs(speed) + rho * rules.accelerate_mps2
        return np.asarray((np.abs(speed) + fast) * rho / 2 + fast**2 / (2 * brake))

    ego, other = _reals(ego_mps, other_mps)
    right_way = stops(ego, rules.response_ego_s, rules.brake_min_correct_mps2)
    return right_way + stops(other, rules.response_other_s, rules.brake_min_mps2)


def rss_lateral(
    left_mps: ArrayLike, right_mps: ArrayLike, rules: RssParameters, *, left_response_s: float, right_response_s: float
) -> Reals:
    """Least gap across, m, between two road users side by side; lateral speeds are positive to the left, as everywhere in this package.

    Only one who after the response time moves towards the other still has to brake (as in ad-rss-lib, where the boxes hold the margin).
    """
    left, right = _reals(left_mps, right_mps)

    def towards(speed: Reals, rho: float) -> Reals:
        """How far one comes the other's way, its speed towards the other given."""
        fast = speed + rho * rules.lateral_accelerate_mps2
        return np.asarray((speed + fast) * rho / 2 + np.maximum(fast, 0.0) ** 2 / (2 * rules.lateral_brake_mps2))

    return rules.margin_m + np.maximum(towards(-left, left_response_s) + towards(right, right_response_s), 0.0)


def rss_dangerous(along_m: ArrayLike, least_along_m: ArrayLike, across_m: ArrayLike, least_across_m: ArrayLike) -> Mask:
    """Where the gaps along and across are both below their least; a dangerous situation begins with the second to be violated."""
    along, least_along, across, least_across = _reals(along_m, least_along_m, across_m, least_across_m)
    return np.asarray((along < least_along) & (across < least_across))
