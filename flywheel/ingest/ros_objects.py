"""ROS object lists (Autoware, vision_msgs, derived_object_msgs) to TRACKS: boxes in the ego frame, velocities over ground in its axes.

A list in the ego's frame, or in one mounted on the ego, is turned by that mount; one in the world by the ego's pose at the list's own
stamp, where that is near its record time, because perception is late. vision_msgs has no velocities: they are central differences of the
boxes over ground, across gaps of at most half a second.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from flywheel.errors import BadData
from flywheel.geometry import rotation
from flywheel.ingest.drive import Finding, Item, Rows
from flywheel.ingest.ego_path import EgoPath, velocities, wrap, yaw_of
from flywheel.ingest.ros_frames import HERE, Frames, Placed, placed
from flywheel.ingest.ros_motion import Motion
from flywheel.ingest.ros_samples import NAN, NEAR_STAMP_NS, Array

MAX_OBJECTS, MAX_GAP_S = 4096, 0.5
AUTOWARE = dict(enumerate(("other", "car", "truck", "bus", "truck", "cyclist", "cyclist", "pedestrian")))
DERIVED = {4: "pedestrian", 5: "cyclist", 6: "car", 7: "truck", 8: "cyclist"}
WORDS = (
    ("pedestrian", ("pedestrian", "person", "walker")), ("cyclist", ("cycl", "bike", "rider")), ("bus", ("bus",)),
    ("truck", ("truck", "trailer", "lorry")), ("car", ("car", "van", "vehicle")),
)  # fmt: skip


class Box(NamedTuple):
    """One object of a list, in the list's frame; velocity (3,) NaN where it is not told."""

    track_id: str
    cls: str
    where: Placed
    size: tuple[float, float, float]
    velocity: Array


class Boxes(NamedTuple):
    """One list: when it was recorded, when it was true, its frame, its boxes."""

    t_ns: int
    true_ns: int
    frame: str
    boxes: tuple[Box, ...]


def _box(track_id: str, cls: str, pose: Any, size: Any, velocity: Array) -> Box:
    where, lengths = placed(pose.position, pose.orientation), (float(size[0]), float(size[1]), float(size[2]))
    if where is None or not np.isfinite(lengths).all() or np.isinf(velocity).any() or not track_id:
        raise BadData(f"object {track_id!r}: its id is empty, its pose or size is not finite, or its orientation is no rotation")
    return Box(track_id[:100], cls, where, lengths, velocity)


def _autoware(message: Any) -> Iterator[Box]:
    """Tracked or predicted objects: the twist is along the object's own axes."""
    for thing in message.objects:
        said = thing.kinematics
        pose = getattr(said, "pose_with_covariance", None) or said.initial_pose_with_covariance
        twist = (getattr(said, "twist_with_covariance", None) or said.initial_twist_with_covariance).twist.linear
        best = max(thing.classification, key=lambda guess: guess.probability, default=None)
        size = thing.shape.dimensions
        box = _box(
            bytes(np.asarray(thing.object_id.uuid, np.uint8)).hex(), AUTOWARE.get(best.label if best else 0, "other"), pose.pose,
            (size.x, size.y if size.y > 0 else size.x, size.z), np.array([twist.x, twist.y, twist.z], np.float64),
        )  # fmt: skip
        yield box._replace(velocity=rotation(box.where.turn) @ box.velocity)


def _derived(message: Any) -> Iterator[Box]:
    """derived_object_msgs: twist in the list's frame; boxes and cylinders as shapes (shape_msgs/SolidPrimitive)."""
    for thing in message.objects:
        sides, v = [float(side) for side in thing.shape.dimensions], thing.twist.linear
        if thing.shape.type == 3 and len(sides) >= 2:  # a cylinder: height, radius
            sides = [2 * sides[1], 2 * sides[1], sides[0]]
        if len(sides) < 3:
            raise BadData(f"object {thing.id}: a shape with {len(sides)} dimensions")
        yield _box(str(thing.id), DERIVED.get(thing.classification, "other"), thing.pose, sides, np.array([v.x, v.y, v.z], np.float64))


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
            yield _box(name, cls, seen.bbox.center, (size.x, size.y, size.z), np.full(3, NAN))


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
        self._mounted: dict[str, Placed | None] = {}

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
        if len(boxes) > MAX_OBJECTS:
            raise BadData(f"a list of {len(boxes)} objects; at most {MAX_OBJECTS} are allowed")
        self._nameless[topic] += len(getattr(message, "detections", boxes)) - len(boxes)
        near = stamp_ns is not None and abs(t_ns - stamp_ns) < NEAR_STAMP_NS
        frame = message.header.frame_id.lstrip("/")
        self._lists.append(Boxes(t_ns, stamp_ns if near and stamp_ns is not None else t_ns, frame, tuple(boxes.values())))

    def window(self, motion: Motion, after_ns: int, until_ns: int | None) -> Iterator[Item]:
        """TRACKS of the times after after_ns and up to until_ns (None: the end)."""
        lists = sorted({seen.t_ns: seen for seen in self._lists if seen.boxes}.values(), key=lambda seen: seen.t_ns)
        inside = [after_ns < seen.t_ns and (until_ns is None or seen.t_ns <= until_ns) for seen in lists]
        if not any(inside):
            return
        self._mounted = {seen.frame: self._mount(seen.frame) for seen in lists}
        pose = motion.path()
        rows = [row for seen in lists for row in self._rows(seen, pose)]
        if rows:
            yield from self._table(rows, pose, keep={seen.t_ns for seen, kept in zip(lists, inside, strict=True) if kept})

    def forget(self, before_ns: int) -> None:
        """Drops lists that no later window needs."""
        self._lists = [seen for seen in self._lists if seen.t_ns >= before_ns]

    def findings(self) -> Iterator[Finding]:
        """Lists that were left out, and why."""
        for topic, count in sorted(self._doubled.items()):
            yield _warn("topics", f"{topic}: {count} object lists are left in landing, {self._leader} carries the tracks")
        for topic, count in sorted((+self._nameless).items()):
            yield _warn("tracks", f"{topic}: {count} detections do not say which object they are: they make no tracks")
        for frame, count in sorted(self._unplaced.items()):
            yield _warn(
                "frames", f"{count} object lists in frame {frame!r} cannot be placed: neither its mount nor the ego's pose in it is known"
            )

    def _mount(self, frame: str) -> Placed | None:
        return HERE if frame == self.frames.ego else self.frames.mount(frame)

    def _rows(self, seen: Boxes, pose: tuple[str, EgoPath] | None) -> list[dict[str, Any]]:
        """A list's boxes in the ego frame; none (and a count) if they cannot be placed there."""
        ego = _ego_at(pose, seen.true_ns)
        mount = self._mounted[seen.frame]
        if mount is None and pose is not None and pose[0] == seen.frame and ego is not None:
            mount = ego.inverse()
        if mount is None:
            self._unplaced[seen.frame] += 1
            return []
        return [_row(seen.t_ns, box, mount.of(box.where), rotation(mount.turn) @ box.velocity, ego) for box in seen.boxes]

    def _table(self, rows: list[dict[str, Any]], pose: tuple[str, EgoPath] | None, *, keep: set[int]) -> Iterator[Item]:
        unknown = np.array([bool(np.isnan(row["vx_mps"])) for row in rows])
        if unknown.any():
            self._derive(rows, unknown)
        rows = [row for row in rows if row["t_ns"] in keep]
        columns = {name: [row[name] for row in rows] for name in rows[0] if name not in ("world", "ego_heading")} if rows else {}
        if rows:
            yield Rows("TRACKS", pa.table(columns))

    def _derive(self, rows: list[dict[str, Any]], unknown: Any) -> None:
        """Fills in velocities from where the boxes were over ground (seen from the ego, where its pose is not known)."""
        ids = {name: at for at, name in enumerate(sorted({row["track_id"] for row in rows}))}
        t0 = rows[0]["t_ns"]
        t_s = np.array([(row["t_ns"] - t0) / 1e9 for row in rows])
        places = np.array([row["world"] for row in rows])
        found = velocities(np.array([ids[row["track_id"]] for row in rows]), t_s, places, max_gap_s=MAX_GAP_S)
        for row, (vx, vy), lacks in zip(rows, found, unknown, strict=True):
            c, s = np.cos(row["ego_heading"]), np.sin(row["ego_heading"])
            if lacks:
                row["vx_mps"], row["vy_mps"] = float(c * vx + s * vy), float(c * vy - s * vx)
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


def _row(t_ns: int, box: Box, where: Placed, velocity: Array, ego: Placed | None) -> dict[str, Any]:
    world = (ego or HERE).of(where).at
    return {
        "t_ns": t_ns, "track_id": box.track_id, "cls": box.cls,
        "x_m": float(where.at[0]), "y_m": float(where.at[1]), "z_m": float(where.at[2]),
        "heading_rad": float(wrap(yaw_of(where.turn[None]))[0]),
        "length_m": box.size[0], "width_m": box.size[1], "height_m": box.size[2],
        "vx_mps": float(velocity[0]), "vy_mps": float(velocity[1]),
        "world": world[:2], "ego_heading": float(yaw_of((ego or HERE).turn[None])[0]),
    }  # fmt: skip


def _warn(gate: str, message: str) -> Finding:
    return Finding(severity="warning", gate=gate, message=message)
