"""TRACKS from SceneUpdate topics of other makers: boxes in any frame that the transforms relate to the ego, classes by their words."""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from flywheel.geometry import rotation
from flywheel.ingest.drive import Beats, Finding, Item, Rows, warning
from flywheel.ingest.ego_path import REACH_NS, EgoPath, velocities, wrap
from flywheel.ingest.mcap_json import check_sane
from flywheel.ingest.mcap_mounts import EGO_FRAMES, Mounts
from flywheel.ingest.mcap_proto import payloads_of
from flywheel.ingest.mcap_read import Batch
from flywheel.ingest.mcap_scene import Entities, entities, heading
from flywheel.ingest.mcap_signals import Signals
from flywheel.ingest.mcap_streams import Waiting
from flywheel.ingest.quality import check_camera

Array = NDArray[np.float64]
Times = NDArray[np.int64]

CLASS_KEYS = ("cls", "class", "category", "label", "type", "classification", "object_type")
# The first of these words in a class's name decides; `vehicle.truck` is a truck, `human.pedestrian.adult` a pedestrian.
WORDS: dict[str, str] = {
    "bus": "bus", "coach": "bus", "truck": "truck", "trailer": "truck", "lorry": "truck",
    "pedestrian": "pedestrian", "person": "pedestrian", "human": "pedestrian", "adult": "pedestrian", "child": "pedestrian",
    "cyclist": "cyclist", "bicyclist": "cyclist", "bicycle": "cyclist", "bike": "cyclist", "motorcycle": "cyclist",
    "motorcyclist": "cyclist", "rider": "cyclist", "car": "car", "sedan": "car", "suv": "car", "van": "car", "taxi": "car",
}  # fmt: skip
MAX_GAP_S = 1.0
# Rows wait until what follows tells their velocity and where the ego was.
LAG_NS = 5 * 10**9
SIZES, PLACES = ("length_m", "width_m", "height_m"), ("x_m", "y_m", "z_m")


class Boxes(NamedTuple):
    """M boxes as said, in a frame each: times, ids, frames, classes; centre, heading, size; velocity in metadata (NaN without)."""

    times: Times
    ids: NDArray[np.object_]
    frames: NDArray[np.object_]
    classes: NDArray[np.object_]
    centre: Array
    heading: Array
    size: Array
    velocity: Array

    def at(self, chosen: NDArray[np.bool_] | NDArray[np.int64]) -> "Boxes":
        """Some of them."""
        return Boxes(*(values[chosen] for values in self))  # type: ignore[arg-type]

    def ordered(self) -> "Boxes":
        """The same in the order of time, then id."""
        return self.at(np.lexsort((self.ids.astype(str), self.times)))


def joined(parts: Sequence[Boxes]) -> Boxes:
    """Boxes of several lots in the order of time, then id."""
    return Boxes._make(np.concatenate(columns) for columns in zip(*parts, strict=True)).ordered()


def class_of(name: str) -> str:
    """One of the six classes for another maker's name of a class."""
    words = re.findall(r"[a-z]+", re.sub(r"([a-z])([A-Z])", r"\1 \2", name).lower())
    return next((WORDS[word] for word in WORDS if word in words), "car" if words == ["vehicle"] else "other")


class OtherTracks:
    """The sink of all SceneUpdate topics that are not the fleet's."""

    def __init__(self, topics: Iterable[str], *, mounts: Mounts, signals: Signals) -> None:
        self.waiting = {topic: Waiting(topic, strict=False) for topic in sorted(topics)}
        self.mounts, self.signals = mounts, signals
        self.held: Boxes | None = None
        self.emitted_ns, self.limit_ns = -(1 << 62), 1 << 62
        self.left: Counter[str] = Counter()
        self.derived = self.unmoved = False

    def take(self, batch: Batch) -> Iterable[Item]:
        """Takes messages."""
        self.waiting[batch.channel.topic].take(batch)
        return ()

    def cut(self, until_ns: int | None) -> Iterator[Item]:
        """Rows before a time, less those whose velocity later ones could change."""
        found = [self.held] if self.held is not None else []
        for topic, waiting in self.waiting.items():
            times, batches = waiting.drain()
            if len(times):
                yield Beats(topic, times)
                said = entities(topic, times, [data for batch in batches for data in payloads_of(batch, "SceneUpdate")])
                found.append(self._boxes(said, prefix=f"{topic} " if len(self.waiting) > 1 else ""))
        if found:
            whole = joined(found)
            self.limit_ns = max((1 << 62) if until_ns is None else until_ns - LAG_NS, self.emitted_ns)
            with np.errstate(over="ignore", invalid="ignore"):  # what is not finite is refused when the table is made
                yield from list(self._rows(whole))
            self.emitted_ns = self.limit_ns
            self.held = whole.at(whole.times >= self.emitted_ns - LAG_NS)

    def _boxes(self, said: Entities, *, prefix: str) -> Boxes:
        right = (said.cubes == 1) & np.array([bool(name) for name in said.ids.to_pylist()], bool)
        self.left["without an id and one cube"] += int((~right & (said.cubes > 0)).sum())
        kept = said.keep(right)
        pairs = kept.pairs()
        named = [pairs.text(key).to_pylist() for key in CLASS_KEYS]
        words = [next((word for word in given if word), "") for given in zip(*named, strict=True)]
        known = {word: class_of(word) for word in set(words)}
        motion = [pairs.numbers(name).to_numpy(zero_copy_only=False) for name in ("vx_mps", "vy_mps")]
        return Boxes(
            times=kept.times, ids=_objects(f"{prefix}{name}" for name in kept.ids.to_pylist()), frames=_objects(kept.frames.to_pylist()),
            classes=_objects(known[word] for word in words), centre=np.stack([kept.box[name] for name in PLACES], axis=1),
            heading=heading(kept.quaternion), size=np.stack([kept.box[name] for name in SIZES], axis=1),
            velocity=np.stack(motion, axis=1).astype(np.float64),
        )  # fmt: skip

    def _rows(self, whole: Boxes) -> Iterator[Item]:
        placed = [part for frame in sorted(set(whole.frames)) if (part := self._placed(whole.at(whole.frames == frame), frame)) is not None]
        if not placed:
            return
        boxes = joined(placed)
        boxes = boxes.at((boxes.times >= self.emitted_ns) & (boxes.times < self.limit_ns))
        again = np.zeros(len(boxes.times), bool)
        again[1:] = (np.diff(boxes.times) == 0) & np.equal(boxes.ids[1:].astype(str), boxes.ids[:-1].astype(str))
        self.left["said twice at one time"] += int(again.sum())
        if len(boxes.times):
            yield Rows("TRACKS", _table(boxes.at(~again)))

    def _placed(self, boxes: Boxes, frame: str) -> Boxes | None:
        """The boxes in the ego frame with a velocity over ground each; None if nothing relates their frame to the ego's."""
        mount = self.mounts.in_ego(frame)
        if frame in EGO_FRAMES and mount is None:
            return self._moving(boxes)
        if mount is not None:
            pose = tuple(mount.values())
            check_camera(f"the mount of frame {frame!r}", mount)
            turn = rotation(pose[3:])
            yaw = float(np.arctan2(turn[1, 0], turn[0, 0]))
            return self._moving(boxes._replace(centre=boxes.centre @ turn.T + pose[:3], heading=boxes.heading + yaw))
        path = self.mounts.path_in(frame)
        new = (boxes.times >= self.emitted_ns) & (boxes.times < self.limit_ns)
        if path is None:
            self.left[f"in frame {frame!r}, which nothing relates to the ego's"] += int(new.sum())
            return None
        inside = (boxes.times >= path.times[0] - REACH_NS) & (boxes.times <= path.times[-1] + REACH_NS)
        self.left["at times without a pose of the ego"] += int((~inside & new).sum())
        return self._from_world(boxes.at(inside), path)

    def _moving(self, boxes: Boxes) -> Boxes:
        """Boxes of the ego frame: what they move in it, plus the ego's own motion there (its speed along x, its turn about z)."""
        lacking = np.isnan(boxes.velocity.sum(axis=1))
        if not lacking.any():
            return boxes
        motion = self.signals.motion(boxes.times)
        self.derived, self.unmoved = True, self.unmoved or motion is None
        own = np.zeros((len(boxes.times), 2))
        if motion is not None:
            speed, turn = motion
            own = np.stack([speed - turn * boxes.centre[:, 1], turn * boxes.centre[:, 0]], axis=1)
        worked_out = _velocities(boxes) + own
        return boxes._replace(velocity=np.where(lacking[:, None], worked_out, boxes.velocity))

    def _from_world(self, boxes: Boxes, path: EgoPath) -> Boxes:
        self.derived = True
        there, every = path.resampled(boxes.times), np.arange(len(boxes.times))
        moved = there.turn(np.column_stack([_velocities(boxes), np.zeros(len(every))]), at=every)[:, :2]
        return boxes._replace(
            centre=there.to_ego(boxes.centre, at=every), heading=there.turn_heading(boxes.heading, at=every), velocity=moved
        )

    def findings(self) -> Iterable[Finding]:
        """Boxes that were left out, and velocities that are not over ground."""
        for why, count in sorted(self.left.items()):
            if count:
                yield warning("tracks", f"{count} boxes {why} were left out")
        if self.unmoved:
            text = "the ego's own motion is not known: velocities of tracks are relative to it, not over ground"
            yield warning("tracks", text)


def _objects(values: Iterable[object]) -> NDArray[np.object_]:
    listed = list(values)
    found = np.empty(len(listed), object)
    found[:] = listed
    return found


def _velocities(boxes: Boxes) -> Array:
    codes = np.unique(boxes.ids.astype(str), return_inverse=True)[1] if len(boxes.ids) else np.empty(0, np.int64)
    first = int(boxes.times[0]) if len(boxes.times) else 0
    return velocities(codes, (boxes.times - first) / 1e9, boxes.centre[:, :2], max_gap_s=MAX_GAP_S)


def _table(boxes: Boxes) -> pa.Table:
    numbers: Mapping[str, Array] = {
        **dict(zip(PLACES, boxes.centre.T, strict=True)), "heading_rad": wrap(boxes.heading), **dict(zip(SIZES, boxes.size.T, strict=True)),
        "vx_mps": boxes.velocity[:, 0], "vy_mps": boxes.velocity[:, 1],
    }  # fmt: skip
    for name, values in numbers.items():
        check_sane("SceneUpdate", name, times=boxes.times, values=values)
    words = {"track_id": pa.array(boxes.ids, pa.string()), "cls": pa.array(boxes.classes, pa.string())}
    return pa.table({"t_ns": boxes.times, **words, **numbers})
