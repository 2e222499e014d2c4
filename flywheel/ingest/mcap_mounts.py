"""Where frames lie in each other: mounts of sensors on the ego, and the ego's path through a world frame, from transforms and poses.

The tree is that of the log: FrameTransform, FrameTransforms and PoseInFrame messages. The ego frame is the first of EGO_FRAMES in it.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flywheel.errors import BadData
from flywheel.geometry import rotation
from flywheel.ingest.drive import Beats, Finding, Item, warning
from flywheel.ingest.ego_path import EgoPath, yaw_of
from flywheel.ingest.mcap_proto import foxglove_name, payloads_of, proto, stamp_ns
from flywheel.ingest.mcap_read import Batch

Array = NDArray[np.float64]
EGO_FRAMES = ("ego", "base_link", "ego_vehicle", "base_footprint", "vehicle", "rear_axle", "base", "body")
# Of several parents of one frame the first of these counts, then the first met.
PARENTS = ("ego", "base_link", "odom", "map", "world")
MAX_DEPTH = 32
# Earth-centred places fit, and no square overflows.
MAX_PLACE_M = 1e8
# What a PoseInFrame message places: the ego frame, whatever the transforms call it.
POSED = "the ego's pose"
Pose = tuple[float, ...]


@dataclass
class Link:
    """A frame in its parent: the latest pose (x y z, qw qx qy qz), and the poses not yet forgotten."""

    parent: str
    child: str
    pose: Pose
    times: list[int] = field(default_factory=list)
    poses: list[Pose] = field(default_factory=list)
    back: int = 0

    def see(self, t_ns: int, pose: Pose) -> None:
        """A newer pose; one that is not newer is only counted."""
        self.pose = pose
        if self.times and t_ns <= self.times[-1]:
            self.back += 1
            return
        self.times.append(t_ns)
        self.poses.append(pose)

    def path(self) -> EgoPath:
        """The child's poses in the parent, levelled; BadData if one is not finite or no rotation."""
        values = np.array(self.poses, np.float64).reshape(-1, 7)
        sane = np.abs(values).max(axis=1, initial=0.0) < MAX_PLACE_M
        lengths = np.linalg.norm(np.where(sane[:, None], values[:, 3:], 0.0), axis=1)
        wrong = np.flatnonzero(np.abs(lengths - 1) > 1e-2)
        if len(wrong):
            raise BadData(f"the pose of {self.child} in {self.parent} at {self.times[wrong[0]]} ns is none: {self.poses[wrong[0]]}")
        return EgoPath(times=np.array(self.times, np.int64), origin=values[:, :3], heading=yaw_of(values[:, 3:] / lengths[:, None]))


@dataclass
class Mounts:
    """The sink of all transform and pose topics, and what they said so far."""

    links: dict[tuple[str, str], Link] = field(default_factory=dict)

    def take(self, batch: Batch) -> Iterator[Item]:
        """Takes transforms or poses."""
        stamps = []
        for t_ns, parent, child, pose, stamp in self._said(batch):
            stamps.append(stamp)
            self._link(parent, child, pose).see(t_ns, pose)
        one_each = len(stamps) == len(batch.t_ns) and all(stamps)
        yield Beats(batch.channel.topic, batch.t_ns, np.array(stamps, np.int64) if one_each else None)

    def learn(self, batch: Batch) -> None:
        """Takes the first messages ahead of their time: mounts hold before they were first said."""
        for _, parent, child, pose, _ in self._said(batch):
            self._link(parent, child, pose)

    def _link(self, parent: str, child: str, pose: Pose) -> Link:
        return self.links.setdefault((parent, child), Link(parent, child, pose))

    def _said(self, batch: Batch) -> Iterator[tuple[int, str, str, Pose, int]]:
        name, topic = foxglove_name(batch.channel) or "", batch.channel.topic
        for t_ns, data in zip(batch.t_ns.tolist(), payloads_of(batch, name), strict=True):
            message = proto(topic, t_ns, name, data)
            if name == "PoseInFrame":
                if message.frame_id not in EGO_FRAMES:
                    place, turn = message.pose.position, message.pose.orientation
                    yield t_ns, message.frame_id, POSED, _pose(place, turn), stamp_ns(message.timestamp)
                continue
            for one in message.transforms if name == "FrameTransforms" else (message,):
                yield t_ns, one.parent_frame_id, one.child_frame_id, _pose(one.translation, one.rotation), stamp_ns(one.timestamp)

    def cut(self, until_ns: int | None) -> Iterator[Item]:
        """Nothing: what was said is asked for."""
        return iter(())

    def findings(self) -> Iterable[Finding]:
        """Poses that did not advance in time."""
        for link in self.links.values():
            if link.back:
                text = f"{link.back} poses of {link.child} in {link.parent} are not later than the one before and were left out"
                yield warning("poses", text)

    def forget(self, before_ns: int) -> None:
        """Drops poses before a time, but for the last two: the next are seen against them."""
        for link in self.links.values():
            keep = max(0, min(int(np.searchsorted(link.times, before_ns)), len(link.times) - 2))
            del link.times[:keep], link.poses[:keep]

    @property
    def ego(self) -> str | None:
        """The ego frame's name; None if no known one was mentioned."""
        met = {frame for link in self.links for frame in link}
        return next((frame for frame in EGO_FRAMES if frame in met), EGO_FRAMES[0] if POSED in met else None)

    def ego_link(self) -> Link | None:
        """The ego frame in its parent."""
        ego = self.ego
        return self._up(ego) if ego else None

    def _up(self, frame: str) -> Link | None:
        names = (frame, POSED) if frame == self.ego else (frame,)
        links = [link for link in self.links.values() if link.child in names and link.parent != frame]
        return min(links, key=lambda link: (names.index(link.child), [*PARENTS, link.parent].index(link.parent)), default=None)

    def _chain(self, frame: str, top: str) -> list[Link] | None:
        """The links from a frame up to one above it; None if it is not above."""
        chain: list[Link] = []
        while frame != top and len(chain) < MAX_DEPTH:
            link = self._up(frame)
            if link is None:
                return None
            chain.append(link)
            frame = link.parent
        return chain if frame == top else None

    def in_ego(self, frame: str) -> dict[str, float] | None:
        """FRAMES columns of where a frame is mounted on the ego; None if nothing says so."""
        ego = self.ego
        chain = self._chain(frame, ego) if ego else None
        if not chain:
            return None
        pose = chain[0].pose
        for link in chain[1:]:
            pose = _composed(link.pose, pose)
        return dict(zip(("cam_x_m", "cam_y_m", "cam_z_m", "cam_qw", "cam_qx", "cam_qy", "cam_qz"), pose, strict=True))

    def path_in(self, world: str) -> EgoPath | None:
        """The ego's path in a frame above it (poses between the links' own by straight lines); None if there is none yet."""
        ego = self.ego
        chain = self._chain(ego, world) if ego else None
        if not chain or not all(link.times for link in chain):
            return None
        path = chain[0].path()
        for link in chain[1:]:
            upper = link.path()
            held = EgoPath(upper.times, upper.origin, np.unwrap(upper.heading))
            at = np.clip(path.times, held.times[0], held.times[-1])
            base = held.resampled(at)
            every = np.arange(len(at))
            path = EgoPath(path.times, base.to_world(path.origin, at=every), path.heading + base.heading)
        return path


def _pose(place: Any, turn: Any) -> Pose:
    return place.x, place.y, place.z, turn.w, turn.x, turn.y, turn.z


def _composed(outer: Pose, inner: Pose) -> Pose:
    """The pose of a frame, given in a frame which is itself given in another; NaN stays NaN."""
    w0, x0, y0, z0 = outer[3:]
    w, x, y, z = inner[3:]
    if not all(abs(value) < MAX_PLACE_M for value in (*outer, *inner)) or not any(outer[3:]):
        return (np.nan,) * len(inner)
    turned = rotation(outer[3:]) @ np.array(inner[:3]) + outer[:3]
    return (
        *turned.tolist(),
        w0 * w - x0 * x - y0 * y - z0 * z, w0 * x + x0 * w + y0 * z - z0 * y,
        w0 * y - x0 * z + y0 * w + z0 * x, w0 * z + x0 * y - y0 * x + z0 * w,
    )  # fmt: skip
