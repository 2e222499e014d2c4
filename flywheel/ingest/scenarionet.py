"""ScenarioNet scenes (nuScenes, Waymo, nuPlan, Argoverse 2, procedural): one pickle of plain containers and arrays a scene.

The ego is the track that `sdc_id` names. Where its point lies differs: nuScenes and Argoverse record the rear axle, Waymo, nuPlan and
MetaDrive's own scenes the middle of the box; there the rear axle is taken to lie 0.29 of the length behind the middle (1.4 m in a car of
4.8 m) and half the height below it. The converters of nuScenes and nuPlan wrote no velocities but differences of positions, with zeros at
the ends, so these are derived here: by a parabola over +-0.5 s for the ego (their keyframes stand half a second apart), leaving out the
jumps where a converter joined two sources, and by central differences for the others. Waymo's and MetaDrive's are the recorded ones.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from flywheel.errors import BadData
from flywheel.ingest.drive import Beats, DriveFacts, Finding, Item, Log, Rows, warning
from flywheel.ingest.ego_path import ACCELERATION_WINDOW_S, MOTION, EgoPath, velocities, without_jumps
from flywheel.ingest.kinematics import derivative
from flywheel.ingest.lane_rows import lane_tables
from flywheel.ingest.quality import check_times
from flywheel.ingest.scenarionet_map import lights_of, road_of
from flywheel.ingest.scenes import MAX_BOXES, Boxes, axle_of, check_numbers, clock_of, nanoseconds, seen_from
from flywheel.ingest.signals import Stream, signals_table
from flywheel.ingest.unpickle_plain import PICKLE_MAGIC, plain_objects
from flywheel.subclasses import subclass_of

Array = NDArray[np.float64]
Times = NDArray[np.int64]

MAX_BYTES = 1 << 28
MAX_GAP_S = 0.25
KEYFRAME_S = 0.5
DIFFERENCED = frozenset({"nuscenes", "nuplan"})
AT_AXLE = frozenset({"nuscenes", "av2", "argoverse2"})
CLASSES = {"VEHICLE": "car", "PEDESTRIAN": "pedestrian", "CYCLIST": "cyclist"}
# What a source says in metadata beyond VEHICLE, CYCLIST ... (nuScenes' categories begin so).
FINER = (("vehicle.bus", "bus"), ("vehicle.truck", "truck"), ("vehicle.trailer", "truck"), ("vehicle.construction", "truck"))
LICENCES = {
    "nuscenes": "CC-BY-NC-SA-4.0", "nuplan": "CC-BY-NC-SA-4.0", "av2": "CC-BY-NC-SA-4.0", "argoverse2": "CC-BY-NC-SA-4.0",
    "waymo": "Waymo Dataset License Agreement for Non-Commercial Use",
}  # fmt: skip
DAY = re.compile(r"(20\d\d-[01]\d-[0-3]\d)")


class State(NamedTuple):
    """The steps at which a track is valid, and what is said of it then: (n, 3), (n,), (n, 2) and (n, 3) for length, width, height."""

    steps: NDArray[np.int64]
    place: Array
    heading: Array
    velocity: Array
    size: Array


def matches(log: Log) -> bool:
    """Whether the log is one pickle; whether it holds a scene is only known once it is read."""
    return log.is_file and PICKLE_MAGIC.match(log.head(size=2)) is not None


def read(log: Log) -> Iterator[Item]:
    """The drive of a scene; BadData says what is wrong or refused."""
    scene = plain_objects(log.read("", limit=MAX_BYTES))
    meta, tracks, ego_id = _parts(scene)
    dataset = str(meta.get("dataset", "unknown")).lower()
    clock, times = _times(scene, meta)
    said, findings = _states(tracks, count=len(times), ego_id=ego_id)
    ego, steps = _ego(said[ego_id], times, dataset=dataset)
    velocity, jumps = _velocity(ego, said[ego_id], dataset=dataset)
    road = road_of(_mapping(scene, "map_features", default={}), dataset=dataset)
    yield DriveFacts(
        vehicle_id=_word(dataset), place=_word(_text(meta, "map") or _text(meta, "location")), day=clock.day, clock=clock.name,
        licence=LICENCES.get(dataset), has_map=road is not None, derived=_derived(dataset) + (road.derived if road else ()),
    )  # fmt: skip
    yield from (*clock.findings, *findings, *jumps)
    signals = ego.signals(velocity=velocity, window_s=KEYFRAME_S if dataset in DIFFERENCED else ACCELERATION_WINDOW_S)
    yield Rows("SIGNALS", signals_table([Stream(times=ego.times, columns=signals)]))
    yield Beats("ego", ego.times)
    boxes = _boxes({name: state for name, state in said.items() if name != ego_id}, tracks, ego, steps, differenced=dataset in DIFFERENCED)
    yield Rows("TRACKS", boxes.table("tracks", ego.times))
    yield Beats("tracks", ego.times[np.unique(boxes.at)])
    if road is not None:
        lights = lights_of(_mapping(scene, "dynamic_map_states", default={}), road, steps=steps, dataset=dataset)
        lanes, governed = lane_tables(road, ego, speed=signals["speed_mps"], lights=lights)
        yield Rows("LANES", lanes)
        yield Rows("LIGHTS", governed)


def _parts(scene: Any) -> tuple[dict[str, Any], dict[str, Any], str]:
    """A scene's metadata, tracks and ego id; BadData if the pickle holds something else."""
    if not isinstance(scene, dict) or not {"metadata", "tracks"} <= set(scene):
        held = sorted(str(key)[:40] for key in scene)[:8] if isinstance(scene, dict) else type(scene).__name__
        raise BadData(f"the pickle holds no ScenarioNet scene (metadata, tracks, map_features), but {held}")
    meta, tracks = _mapping(scene, "metadata"), _mapping(scene, "tracks")
    ego_id = next((name for name in tracks if str(name) == str(meta.get("sdc_id"))), None)
    if ego_id is None:
        raise BadData(f"metadata.sdc_id is {str(meta.get('sdc_id'))[:60]!r}, which none of the {len(tracks)} tracks is called")
    return meta, tracks, ego_id


def _mapping(said: dict[str, Any], name: str, *, default: dict[str, Any] | None = None) -> dict[str, Any]:
    found = said.get(name, default)
    if not isinstance(found, dict):
        raise BadData(f"{name} is {type(found).__name__}, not a dict")
    return found


def _text(said: Mapping[str, Any], name: str) -> str:
    """A text of the scene; empty where there is none, or something else in its place."""
    found = said.get(name)
    return found if isinstance(found, str) else ""


def _word(said: str) -> str:
    """A name for DRIVES, made of the scene's text."""
    return re.sub(r"[^\w.+-]+", "-", said)[:80].strip("-") or "unknown"


def _derived(dataset: str) -> tuple[str, ...]:
    shifted = () if dataset in AT_AXLE else ("x_m", "y_m")
    return (*(("speed_mps", "TRACKS.vx_mps", "TRACKS.vy_mps") if dataset in DIFFERENCED else ()), *MOTION[1:], *shifted)


def _times(scene: dict[str, Any], meta: dict[str, Any]) -> tuple[Any, Times]:
    """The clock and the steps' times on it, from metadata.ts (seconds; also `timestep`), or ten a second where there is none."""
    said = meta.get("ts", meta.get("timestep"))
    if said is None:
        length = scene.get("length")
        said = np.arange(length) / 10 if isinstance(length, int) and 0 < length < 100_000 else []
    try:
        seconds = np.asarray(said, np.float64).ravel()
    except (TypeError, ValueError) as err:
        raise BadData(f"metadata.ts is no list of seconds: {err}") from err
    if len(seconds) < 2:
        raise BadData(f"metadata.ts has {len(seconds)} times; a scene needs two")
    times = nanoseconds("metadata.ts", seconds)
    found = DAY.search(str(meta.get("date", "")))
    clock = clock_of(times, day=_real_day(found[1]) if found else None)
    check_times("metadata.ts", times + clock.shift_ns)
    return clock, times + clock.shift_ns


def _real_day(text: str) -> str | None:
    try:
        return str(np.datetime64(text, "D"))
    except ValueError:
        return None


def _states(tracks: dict[str, Any], *, count: int, ego_id: str) -> tuple[dict[str, State], tuple[Finding, ...]]:
    """Every track's valid states; tracks that are never valid are left out with a warning."""
    found = {name: _state(str(name), said, count=count) for name, said in tracks.items()}
    if sum(len(state.steps) for state in found.values()) > MAX_BOXES:
        raise BadData(f"tracks: more than {MAX_BOXES} states")
    never = [name for name, state in found.items() if not len(state.steps) and name != ego_id]
    text = f"{len(never)} of {len(tracks)} tracks are valid at no step and left out, {str(never[0])[:60] if never else ''} among them"
    kept = {name: state for name, state in found.items() if name not in set(never)}
    return kept, (warning("tracks", text),) if never else ()


def _state(name: str, said: Any, *, count: int) -> State:
    try:
        state = said["state"]
        place = np.asarray(state["position"], np.float64).reshape(len(state["position"]), -1)
        valid = np.asarray(state["valid"], np.float64).ravel()
        columns = {
            key: np.asarray(state[key], np.float64).reshape(len(place), -1) for key in ("heading", "velocity", "length", "width", "height")
        }
        if len(place) > count or len(valid) != len(place) or place.shape[1] not in (2, 3) or columns["velocity"].shape[1] < 2:
            raise ValueError(f"position {place.shape}, valid {valid.shape}, velocity {columns['velocity'].shape} for {count} steps")
    except (KeyError, TypeError, ValueError, IndexError) as err:
        raise BadData(f"tracks[{name[:60]!r}].state: {type(err).__name__}: {str(err)[:200]}") from err
    kept = np.flatnonzero(valid > 0.5)
    place = np.pad(place, ((0, 0), (0, 3 - place.shape[1])))[kept]
    size = np.stack([columns[key][kept, 0] for key in ("length", "width", "height")], axis=1)
    found = State(kept, place, columns["heading"][kept, 0], columns["velocity"][kept, :2], size)
    for key in ("place", "heading", "velocity", "size"):
        check_numbers(f"tracks[{name[:60]!r}].state: {key}", getattr(found, key))
    return found


def _ego(state: State, times: Times, *, dataset: str) -> tuple[EgoPath, NDArray[np.int64]]:
    """The ego's path and its steps."""
    if len(state.steps) < 2:
        raise BadData(f"the ego is valid at {len(state.steps)} steps; a drive needs two")
    if dataset not in AT_AXLE and (state.size <= 0).any():
        raise BadData("the ego has no size, so its rear axle cannot be placed")
    place = state.place if dataset in AT_AXLE else axle_of(state.place, state.heading, state.size)
    return EgoPath(times[state.steps], place, state.heading), state.steps


def _velocity(ego: EgoPath, state: State, *, dataset: str) -> tuple[Array, tuple[Finding, ...]]:
    """The ego's world velocity: recorded, or the derivative of its path without the jumps where a converter joined two sources."""
    if dataset not in DIFFERENCED:
        return state.velocity, ()
    path, off_m = without_jumps(ego.t_s, ego.origin[:, :2])
    most = off_m.max(initial=0)
    text = f"the ego's path jumps at {len(off_m)} of {len(ego.times) - 1} steps, by up to {most:.2f} m; its speed leaves them out"
    jumps = (warning("jumps", text),) if len(off_m) else ()
    return derivative(ego.t_s, path, half_window_s=KEYFRAME_S), jumps


def _boxes(said: Mapping[str, State], tracks: Mapping[str, Any], ego: EgoPath, steps: NDArray[np.int64], *, differenced: bool) -> Boxes:
    """The other tracks' boxes seen from the ego, at steps where it is there too."""
    states = list(said.values())
    place, heading, velocity, size, step = (
        np.concatenate([getattr(state, name) for state in states]) if states else np.empty((0, *shape))
        for name, shape in (("place", (3,)), ("heading", ()), ("velocity", (2,)), ("size", (3,)), ("steps", ()))
    )
    track = np.repeat(np.arange(len(states)), [len(state.steps) for state in states])
    at = np.searchsorted(steps, step).clip(0, len(steps) - 1)
    both = steps[at] == step
    if differenced and both.any():
        velocity[both] = velocities(track[both], ego.t_s[at[both]], place[both][:, :2], max_gap_s=MAX_GAP_S)
    world = Boxes(
        at=at[both], track=track[both], ids=tuple(str(name) for name in said), classes=tuple(class_of(tracks[name]) for name in said),
        centre=place[both], heading=heading[both], size=size[both], velocity=velocity[both],
        subclasses=tuple(subclass_of(said_class(tracks[name])) for name in said),
    )  # fmt: skip
    return seen_from(ego, world)


def class_of(track: Mapping[str, Any]) -> str:
    """Our class of a track: its type, or a finer one where the source's own category says so."""
    said = said_class(track)
    return next((cls for begin, cls in FINER if said.startswith(begin)), CLASSES.get(_text(track, "type").upper(), "other"))


def said_class(track: Mapping[str, Any]) -> str:
    """What the source itself calls a track: the category in its metadata, or the scene's type where that only repeats it."""
    own = track.get("metadata")
    return (_text(own, "type") if isinstance(own, dict) else "") or _text(track, "type")
