"""The tree of coordinate frames that TF messages tell of: where things are mounted on the ego, and where the ego is in the world."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from flywheel.geometry import rotation

Array = NDArray[np.float64]

# What the frame on the ground under the rear axle is called (REP 105, REP 120, Autoware, CARLA), unless odometry names the ego's frame.
EGO_FRAMES = ("base_link", "base_footprint", "ego_vehicle", "rear_axle", "vehicle", "ego")
MAX_FRAMES, MAX_DEPTH = 4096, 64
STILL_M, STILL_TURN = 1e-3, 1e-4


class Placed(NamedTuple):
    """One frame seen from another: its origin (3,), and the unit quaternion w x y z (4,) that turns its axes into the other's."""

    at: Array
    turn: Array

    def of(self, inner: "Placed") -> "Placed":
        """A frame placed in this one, seen from where this one is placed."""
        return Placed(self.at + rotation(self.turn) @ inner.at, multiply(self.turn, inner.turn))

    def inverse(self) -> "Placed":
        """The other frame seen from this one."""
        back = self.turn * np.array([1.0, -1.0, -1.0, -1.0])
        return Placed(-(rotation(back) @ self.at), back)


HERE = Placed(np.zeros(3), np.array([1.0, 0.0, 0.0, 0.0]))


def multiply(a: Array, b: Array) -> Array:
    """The product of two quaternions w x y z: first b, then a."""
    aw, av, bw, bv = a[0], a[1:], b[0], b[1:]
    return np.asarray(np.r_[aw * bw - av @ bv, aw * bv + bw * av + np.cross(av, bv)])


def placed(position: Any, orientation: Any) -> Placed | None:
    """A ROS position and orientation; None if they are not finite or the quaternion is not near unit length."""
    at = np.array([position.x, position.y, position.z], np.float64)
    turn = np.array([orientation.w, orientation.x, orientation.y, orientation.z], np.float64)
    length = float(np.linalg.norm(turn)) if np.isfinite(turn).all() else 0.0
    return Placed(at, turn / length) if 0.9 < length < 1.1 and np.isfinite(at).all() else None


class Frames:
    """The newest transform of every frame to its parent, and which of them have been seen to move."""

    def __init__(self) -> None:
        self.links: dict[str, tuple[str, Placed]] = {}
        self.moving: set[str] = set()
        self.named_ego = ""

    @property
    def ego(self) -> str:
        """The ego's frame: as odometry names it, else the first known name in the tree, else `base_link`."""
        if self.named_ego:
            return self.named_ego
        parents = {parent for parent, _ in self.links.values()}
        return next((name for name in EGO_FRAMES if name in self.links or name in parents), EGO_FRAMES[0])

    def take(self, message: Any) -> set[str]:
        """Keeps a TFMessage's transforms and gives the frames it placed."""
        return {name for transform in message.transforms if (name := self._take(transform))}

    def _take(self, transform: Any) -> str | None:
        child, parent = transform.child_frame_id.lstrip("/"), transform.header.frame_id.lstrip("/")
        where = placed(transform.transform.translation, transform.transform.rotation)
        if where is None or not child or child == parent or (child not in self.links and len(self.links) >= MAX_FRAMES):
            return None
        before = self.links.get(child)
        if before is not None and (before[0] != parent or not _still(before[1], where)):
            self.moving.add(child)
        self.links[child] = (parent, where)
        return str(child)

    def up(self, frame: str, *, still: bool) -> dict[str, Placed]:
        """Every frame above this one (and itself) -> this one seen from there; only along links that never moved, if still."""
        found, at, here = {frame: HERE}, HERE, frame
        while here in self.links and len(found) < MAX_DEPTH and not (still and here in self.moving):
            here, link = self.links[here]
            if here in found:
                break
            at = link.of(at)
            found[here] = at
        return found

    def mount(self, frame: str) -> Placed | None:
        """A frame fixed to the ego, seen from the ego; None if no chain of unmoving links joins them."""
        mine, ego = self.up(frame.lstrip("/"), still=True), self.up(self.ego, still=True)
        joint = next((name for name in mine if name in ego), None)
        return ego[joint].inverse().of(mine[joint]) if joint is not None else None

    def ego_pose(self, placed_now: set[str]) -> tuple[str, Placed] | None:
        """The root frame's name and the ego seen from it, if one of the links placed now bears the ego and it is not itself the root."""
        above = self.up(self.ego, still=False)
        root = list(above)[-1]
        return (root, above[root]) if len(above) > 1 and placed_now & set(above) else None


def _still(a: Placed, b: Placed) -> bool:
    turn = 1 - abs(float(a.turn @ b.turn))
    return bool(np.abs(a.at - b.at).max() < STILL_M) and turn < STILL_TURN
