"""ROS object lists (Autoware, vision_msgs, derived_object_msgs) to TRACKS: boxes in the ego frame, velocities over ground in its axes.

A list in the ego's frame, or in one mounted on the ego, is turned by that mount; one in the world by the ego's pose at the list's own
stamp, where that is near its record time, because perception is late. vision_msgs has no velocities: they are central differences of the
boxes over ground, across gaps of at most half a second.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from flywheel.errors import BadData
from flywheel.geometry import rotation
from flywheel.ingest.drive import Finding, Item, Rows, warning
from flywheel.ingest.ego_path import EgoPath, velocities, yaw_of
from flywheel.ingest.ros_frames import HERE, Frames, Placed
from flywheel.ingest.ros_motion import Motion
from flywheel.ingest.ros_samples import NAN, NEAR_STAMP_NS, Array

MAX_OBJECTS, MAX_GAP_S = 4096, 0.5
GROUND = ("ground_x", "ground_y", "ego_heading")
AUTOWARE = dict(enumerate(("other", "car", "truck", "bus", "truck", "cyclist", "cyclist", "pedestrian")))
DERIVED = {4: "pedestrian", 5: "cyclist", 6: "car", 7: "truck", 8: "cyclist"}
WORDS = (
    ("pedestrian", ("pedestrian", "person", "walker")), ("cyclist", ("cycl", "bike", "rider")), ("bus", ("bus",)),
    ("truck", ("truck", "trailer", "lorry")), ("car", ("car", "van", "vehicle")),
)  # fmt: skip


# Of one box, in its list's frame: centre, orientation w x y z, length, width, height, velocity (NaN where it is not told).
VALUES = 13


class Box(NamedTuple):
    """One object of a list: its id, class and VALUES."""

    track_id: str
    cls: str
    values: tuple[float, ...]


class Boxes(NamedTuple):
    """One list: when it was recorded, when it was true, its frame, its boxes' ids, classes and (N, VALUES) numbers."""

    t_ns: int
    true_ns: int
    frame: str
    ids: tuple[str, ...]
    classes: tuple[str, ...]
    values: Array


def _box(track_id: str, cls: str, pose: Any, size: Sequence[float], velocity: tuple[float, float, float]) -> Box:
    p, q = pose.position, pose.orientation
    return Box(track_id[:100], cls, (p.x, p.y, p.z, q.w, q.x, q.y, q.z, *size[:3], *velocity))


def _autoware(message: Any) -> Iterator[Box]:
    """Tracked or predicted objects; the twist is along the object's own axes."""
    for thing in message.objects:
        said = thing.kinematics
        pose = getattr(said, "pose_with_covariance", None) or said.initial_pose_with_covariance
        twist = (getattr(said, "twist_with_covariance", None) or said.initial_twist_with_covariance).twist.linear
        best = max(thing.classification, key=lambda guess: guess.probability, default=None)
        size, name = thing.shape.dimensions, thing.object_id.uuid.tobytes().hex()
        sides = (size.x, size.y if size.y > 0 else size.x, size.z)
        yield _box(name, AUTOWARE.get(best.label if best else 0, "other"), pose.pose, sides, (twist.x, twist.y, twist.z))


def _derived(message: Any) -> Iterator[Box]:
    """derived_object_msgs: twist in the list's frame; boxes and cylinders as shapes (shape_msgs/SolidPrimitive)."""
    for thing in message.objects:
        sides, v = [float(side) for side in thing.shape.dimensions], thing.twist.linear
        if thing.shape.type == 3 and len(sides) >= 2:  # a cylinder: height, radius
            sides = [2 * sides[1], 2 * sides[1], sides[0]]
        if len(sides) < 3:
            raise BadData(f"object {thing.id}: a shape with {len(sides)} dimensions")
        yield _box(str(thing.id), DERIVED.get(thing.classification, "other"), thing.pose, sides, (v.x, v.y, v.z))


def _vision(message: Any) -> Iterator[Box]:
    """vision_msgs (its versions differ in names): the best hypothesis' class, no velocity; only detections with an id."""
    for seen in message.detections:
        name = str(getattr(seen, "id", "") or getattr(seen, "tracking_id", ""))
        guesses = [getattr(result, "hypothesis", result) for result in seen.results]
        best = max(guesses, key=lambda guess: guess.score, default=None)
        label = str(getattr(best, "class_id", getattr(best, "id", ""))).lower()
        cls = next((cls for cls, words in WORDS if any(word in label for word in words)), "other")
        size = seen.bbox.size
        if name:
            yield _box(name, cls, seen.bbox.center, (size.x, size.y, size.z), (NAN, NAN, NAN))


AUTOWARE_PACKAGES = ("autoware_auto_perception_msgs", "autoware_perception_msgs")
# The earlier types are the better ones: where several are recorded, the first carries the tracks.
OBJECTS: dict[str, Callable[[Any], Iterator[Box]]] = {
    **{f"{package}/msg/TrackedObjects": _autoware for package in AUTOWARE_PACKAGES},
    **{f"{package}/msg/PredictedObjects": _autoware for package in AUTOWARE_PACKAGES},
    "derived_object_msgs/msg/ObjectArray": _derived, "vision_msgs/msg/Detection3DArray": _vision,
}  # fmt: skip


class Objects:
    """Object lists of one topic, and TRACKS made of them window by window."""

    def __init__(self, frames: Frames) -> None:
        self.frames = frames
        self.derived: set[str] = set()
        self._topics: dict[str, tuple[int, int]] = {}
        self._leader = ""
        self._lists: list[Boxes] = []
        self._doubled: Counter[str] = Counter()
        self._nameless: Counter[str] = Counter()
        self._unplaced: Counter[str] = Counter()

    def expect(self, topic: str, type_name: str, messages: int) -> None:
        """Makes a topic known, with how many messages it will hold (0: not known)."""
        if type_name in OBJECTS:
            self._topics[topic] = (list(OBJECTS).index(type_name), self._topics.get(topic, (0, 0))[1] - messages)

    def take(self, topic: str, type_name: str, t_ns: int, stamp_ns: int | None, message: Any) -> None:
        """One list; BadData if an object of it cannot be used."""
        self._leader = self._leader or min(self._topics, key=lambda name: (*self._topics[name], name))
        if topic != self._leader:
            self._doubled[topic] += 1
            return
        boxes = {box.track_id: box for box in OBJECTS[type_name](message)}
        if len(boxes) > MAX_OBJECTS or "" in boxes:
            raise BadData(f"a list of {len(boxes)} objects (at most {MAX_OBJECTS} are allowed), or one without an id")
        self._nameless[topic] += len(getattr(message, "detections", boxes)) - len(boxes)
        values = np.array([box.values for box in boxes.values()], np.float64).reshape(len(boxes), VALUES)
        if (
            not np.isfinite(values[:, :10]).all()
            or np.isinf(values).any()
            or (np.abs(np.linalg.norm(values[:, 3:7], axis=1) - 1) > 0.1).any()
        ):
            raise BadData("an object whose place, size or velocity is not finite, or whose orientation is no rotation")
        if OBJECTS[type_name] is _autoware:
            values[:, 10:] = rotated(values[:, 3:7], values[:, 10:])
        near = stamp_ns is not None and abs(t_ns - stamp_ns) < NEAR_STAMP_NS
        frame, classes = message.header.frame_id.lstrip("/"), tuple(box.cls for box in boxes.values())
        self._lists.append(Boxes(t_ns, stamp_ns if near and stamp_ns is not None else t_ns, frame, tuple(boxes), classes, values))

    def window(self, motion: Motion, after_ns: int, until_ns: int | None) -> Iterator[Item]:
        """TRACKS of the times after after_ns and up to until_ns (None: the end)."""
        lists = sorted({seen.t_ns: seen for seen in self._lists if seen.ids}.values(), key=lambda seen: seen.t_ns)
        pose, mounts = motion.path(), {seen.frame: self._mount(seen.frame) for seen in lists}
        placed = [(seen, self._columns(seen, mounts[seen.frame], pose)) for seen in lists]
        new = [seen.frame for seen, columns in placed if columns is None and after_ns < seen.t_ns <= (until_ns or seen.t_ns)]
        self._unplaced.update(new)
        found = [columns for _, columns in placed if columns is not None]
        if not found:
            return
        columns = {name: np.concatenate([one[name] for one in found]) for name in found[0]}
        unknown = np.isnan(columns["vx_mps"]) | np.isnan(columns["vy_mps"])
        if unknown.any():
            self._derive(columns, unknown)
        inside = (columns["t_ns"] > after_ns) & (until_ns is None or columns["t_ns"] <= until_ns)
        if inside.any():
            yield Rows("TRACKS", pa.table({name: values[inside] for name, values in columns.items() if name not in GROUND}))

    def forget(self, before_ns: int) -> None:
        """Drops lists that no later window needs."""
        self._lists = [seen for seen in self._lists if seen.t_ns >= before_ns]

    def findings(self) -> Iterator[Finding]:
        """Lists that were left out, and why."""
        for topic, count in sorted(self._doubled.items()):
            yield warning("topics", f"{topic}: {count} object lists are left in landing, {self._leader} carries the tracks")
        for topic, count in sorted((+self._nameless).items()):
            yield warning("tracks", f"{topic}: {count} detections do not say which object they are: they make no tracks")
        for frame, count in sorted(self._unplaced.items()):
            yield warning(
                "frames", f"{count} object lists in frame {frame!r} cannot be placed: neither its mount nor the ego's pose in it is known"
            )

    def _mount(self, frame: str) -> Placed | None:
        return HERE if frame == self.frames.ego else self.frames.mount(frame)

    def _columns(self, seen: Boxes, mount: Placed | None, pose: tuple[str, EgoPath] | None) -> dict[str, Any] | None:
        """A list's boxes in the ego frame by column, with their places over ground; None if they cannot be placed."""
        ego = _ego_at(pose, seen.true_ns)
        if mount is None and pose is not None and pose[0] == seen.frame and ego is not None:
            mount = ego.inverse()
        if mount is None:
            return None
        turn, values = rotation(mount.turn), seen.values
        at, velocity = values[:, :3] @ turn.T + mount.at, values[:, 10:] @ turn.T
        ahead = rotated(values[:, 3:7], np.tile([1.0, 0.0, 0.0], (len(values), 1))) @ turn.T
        ground = at @ rotation((ego or HERE).turn).T + (ego or HERE).at
        return {
            "t_ns": np.full(len(values), seen.t_ns, np.int64),
            "track_id": np.array(seen.ids, object), "cls": np.array(seen.classes, object),
            "x_m": at[:, 0], "y_m": at[:, 1], "z_m": at[:, 2], "heading_rad": np.arctan2(ahead[:, 1], ahead[:, 0]),
            "length_m": values[:, 7], "width_m": values[:, 8], "height_m": values[:, 9], "vx_mps": velocity[:, 0], "vy_mps": velocity[:, 1],
            "ground_x": ground[:, 0], "ground_y": ground[:, 1],
            "ego_heading": np.full(len(values), yaw_of((ego or HERE).turn[None])[0]),
        }  # fmt: skip

    def _derive(self, columns: dict[str, Any], unknown: Any) -> None:
        """Fills in velocities from the places over ground (seen from the ego, where its pose is not known)."""
        _, tracks = np.unique(columns["track_id"].astype(str), return_inverse=True)
        t_s, places = (columns["t_ns"] - columns["t_ns"][0]) / 1e9, np.stack([columns["ground_x"], columns["ground_y"]], axis=1)
        vx, vy = velocities(tracks.astype(np.int64), t_s, places, max_gap_s=MAX_GAP_S).T
        c, s = np.cos(columns["ego_heading"]), np.sin(columns["ego_heading"])
        columns["vx_mps"] = np.where(unknown, c * vx + s * vy, columns["vx_mps"])
        columns["vy_mps"] = np.where(unknown, c * vy - s * vx, columns["vy_mps"])
        self.derived |= {"TRACKS.vx_mps", "TRACKS.vy_mps"}


def _ego_at(pose: tuple[str, EgoPath] | None, t_ns: int) -> Placed | None:
    """The levelled ego frame in the world at a time; None outside the path's reach."""
    if pose is None:
        return None
    try:
        path = pose[1].resampled(np.array([t_ns], np.int64))
    except BadData:
        return None
    half = float(path.heading[0]) / 2
    return Placed(path.origin[0], np.array([np.cos(half), 0.0, 0.0, np.sin(half)]))


def rotated(turns: Array, vectors: Array) -> Array:
    """(N, 3) vectors turned by (N, 4) quaternions w x y z (of any length but zero)."""
    q = turns / np.linalg.norm(turns, axis=1, keepdims=True)
    across = 2 * np.cross(q[:, 1:], vectors)
    return np.asarray(vectors + q[:, :1] * across + np.cross(q[:, 1:], across))
