"""What the vehicle's sensors and its map report of an exact drive, with stated noise; rows in time order.

Times are ns UTC. Every stream has its own random numbers, so leaving one out does not change another.
"""

import zlib
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flywheel.ego import FRONT_M, WHEELBASE_M
from flywheel.fleet.drive import Drive
from flywheel.fleet.motion import RATE_HZ
from flywheel.fleet.network import MAIN_SPEED_MPS, SIDE_SPEED_MPS
from flywheel.fleet.road import BIKE_M, PARKING_M, SIDE_LANE_M
from flywheel.fleet.scene import Instant
from flywheel.fleet.sight import visible
from flywheel.fleet.stage import Overlay
from flywheel.fleet.town import MAIN_LIGHT

Array = NDArray[np.float64]
Row = tuple[int, dict[str, Any]]
# One-sigma white noise, and constant biases of the IMU.
SPEED_SIGMA, ACCEL_SIGMA, YAW_SIGMA, STEER_SIGMA = 0.02, 0.03, 0.001, 0.0005
IMU_SIGMA, IMU_YAW_SIGMA, IMU_BIAS, ROLL_SIGMA, WHEEL_SIGMA = 0.08, 0.002, 0.02, 0.004, 0.02
POSE_SIGMA_M, POSE_SIGMA_RAD, LANE_SIGMA_M, GNSS_SIGMA_M = 0.01, 0.0005, 0.005, 0.6
TRACK_SIGMA_M, TRACK_SIGMA_PER_M, TRACK_SPEED_SIGMA, TRACK_HEADING_SIGMA = 0.04, 0.0012, 0.08, 0.01
TRACK_RANGE_M, LIGHT_RANGE_M, LIGHT_BEHIND_M, MAP_RANGE_M = 100.0, 120.0, 20.0, 200.0
TURNING = np.sin(np.radians(10.0))
GRAVITY, EARTH_M_PER_DEG = 9.80665, 111_320.0


def _rng(drive: Drive, stream: str) -> np.random.Generator:
    return np.random.default_rng([drive.seed, drive.slot.index, zlib.crc32(stream.encode())])


def _kept(drive: Drive, topic: str, sample: int) -> bool:
    t = round(sample / RATE_HZ, 3)
    return not any(gap.topic == topic and gap.t0_s < t < gap.t1_s for gap in drive.plan.dropouts)


def _rows(drive: Drive, topic: str, columns: dict[str, Array], *, every: int = 1, digits: int = 5) -> Iterator[Row]:
    names = list(columns)
    for lay in (lay for lay in drive.plan.overlays if lay.topic == topic):
        columns[lay.column] = _laid_over(columns[lay.column], lay)
    table = np.round(np.column_stack([columns[name][::every] for name in names]), digits).tolist()
    for k, values in enumerate(table):
        if _kept(drive, topic, k * every):
            yield drive.t_ns(k * every), dict(zip(names, values, strict=True))


def _laid_over(values: Array, lay: Overlay) -> Array:
    t_s = np.arange(len(values)) / RATE_HZ
    chosen = (t_s >= lay.t0_s) & (t_s < lay.t1_s)
    changed = values.copy()
    changed[chosen] = lay.values(t_s[chosen], values[chosen])
    return changed


def state_rows(drive: Drive) -> Iterator[Row]:
    """`/ego/state`, 100 Hz."""
    ego, rng = drive.ego, _rng(drive, "/ego/state")
    draw = rng.standard_normal((9, len(ego.t_s)))
    steer = np.arctan2(WHEELBASE_M * ego.yaw_rate_radps, np.maximum(ego.speed_mps, 0.1))
    yield from _rows(drive, "/ego/state", {
        "speed_mps": np.maximum(ego.speed_mps + SPEED_SIGMA * draw[0] * (ego.speed_mps > 0), 0.0),
        "ax_mps2": ego.accel_mps2 + ACCEL_SIGMA * draw[1],
        "ay_mps2": ego.speed_mps * ego.yaw_rate_radps + ACCEL_SIGMA * draw[2],
        "yaw_rate_radps": ego.yaw_rate_radps + YAW_SIGMA * draw[3],
        "steering_rad": steer + STEER_SIGMA * draw[4],
        "brake": np.clip(-ego.accel_mps2 / 9.0, 0.0, 1.0),
        "throttle": np.clip(ego.accel_mps2 / 4.0 + ego.speed_mps * 0.006, 0.0, 1.0) * (ego.accel_mps2 > -0.1),
        "x_m": ego.x_m + POSE_SIGMA_M * draw[5], "y_m": ego.y_m + POSE_SIGMA_M * draw[6],
        "heading_rad": ego.heading_rad + POSE_SIGMA_RAD * draw[7],
    })  # fmt: skip


def imu_rows(drive: Drive) -> Iterator[Row]:
    """`/imu`, 100 Hz, gravity included in az."""
    ego, rng = drive.ego, _rng(drive, "/imu")
    draw, bias = rng.standard_normal((4, len(ego.t_s))), rng.normal(0.0, IMU_BIAS, 3)
    yield from _rows(drive, "/imu", {
        "ax_mps2": ego.accel_mps2 + bias[0] + IMU_SIGMA * draw[0],
        "ay_mps2": ego.speed_mps * ego.yaw_rate_radps + bias[1] + IMU_SIGMA * draw[1],
        "az_mps2": GRAVITY + bias[2] + IMU_SIGMA * draw[2],
        "yaw_rate_radps": ego.yaw_rate_radps + IMU_YAW_SIGMA * draw[3],
        "roll_rate_radps": ROLL_SIGMA * _rng(drive, "/imu/roll").standard_normal(len(ego.t_s)),
    })  # fmt: skip


def gnss_rows(drive: Drive) -> Iterator[Row]:
    """`/gnss`, 10 Hz: latitude and longitude in degrees."""
    ego, rng = drive.ego, _rng(drive, "/gnss")
    draw = GNSS_SIGMA_M * rng.standard_normal((2, len(ego.t_s)))
    lat = drive.place.lat_deg + (ego.y_m + draw[0]) / EARTH_M_PER_DEG
    lon = drive.place.lon_deg + (ego.x_m + draw[1]) / (EARTH_M_PER_DEG * np.cos(np.radians(drive.place.lat_deg)))
    yield from _rows(drive, "/gnss", {"lat_deg": lat, "lon_deg": lon}, every=10, digits=8)


def environment_rows(drive: Drive) -> Iterator[Row]:
    """`/environment`, 1 Hz."""
    still = {name: np.full(len(drive.ego.t_s), value) for name, value in drive.environment.model_dump().items()}
    yield from _rows(drive, "/environment", still, every=RATE_HZ)


def vehicle_rows(drive: Drive) -> Iterator[Row]:
    """`/vehicle`, 20 Hz: wheel speed and what the assistance systems do; all quiet unless the script says otherwise."""
    ego = drive.ego
    slack = WHEEL_SIGMA * _rng(drive, "/vehicle").standard_normal(len(ego.t_s)) * (ego.speed_mps > 0)
    quiet = {name: np.zeros(len(ego.t_s)) for name in ("engaged", "driver_override", "fcw", "aeb", "abs", "esc")}
    yield from _rows(drive, "/vehicle", {"wheel_speed_mps": np.maximum(ego.speed_mps + slack, 0.0), **quiet}, every=5)


def light_rows(drive: Drive) -> Iterator[Row]:
    """`/lights`, 10 Hz, from 120 m before the stop line to 20 m past it."""
    if drive.plan.control != "light":
        return
    s, _ = drive.road.project(drive.ego.x_m[::10], drive.ego.y_m[::10])
    rng = _rng(drive, "/lights")
    distance = drive.network.stop_line_s_m - s - FRONT_M
    for k, (gap, noise) in enumerate(zip(distance, rng.standard_normal(len(s)), strict=True)):
        if -LIGHT_BEHIND_M <= gap <= LIGHT_RANGE_M:
            state = drive.light_at(k / 10)
            yield drive.t_ns(k * 10), {"light_id": MAIN_LIGHT, "state": state, "stop_line_m": round(float(gap + 0.05 * noise), 3)}


def lane_rows(drive: Drive) -> Iterator[Row]:
    """`/lane`, 10 Hz: the ego's lane on the map: of the road, of a turn in the junction, or of the side road to the left.

    Nothing while the ego is elsewhere turned away from the road or beyond the oncoming lane. Distances run from the front bumper; null
    beyond 200 m or once passed.
    """
    place, network, ego = drive.place, drive.network, drive.ego
    s, d = drive.road.project(ego.x_m[::10], ego.y_m[::10])
    turned = ego.heading_rad[::10] - np.interp(s, drive.road.s, drive.road.heading_rad)
    depth = max(y for _, y in network.junction_outline)
    aligned = (np.cos(turned) > 0.5) & (d < place.lane_m)
    edge_m = place.kerb_m + BIKE_M + PARKING_M
    noise = LANE_SIGMA_M * _rng(drive, "/lane").standard_normal(len(s))
    index = np.clip(np.floor((d + place.kerb_m) / place.lane_m), 0, place.lanes - 1).astype(int)
    centre = -(place.lanes - index - 0.5) * place.lane_m
    for k, (s_k, front) in enumerate(zip(s, s + FRONT_M, strict=True)):
        inside = front >= network.junction_in_s_m and s_k <= network.junction_out_s_m
        edge = ":J" if inside else "main_a" if front < network.junction_in_s_m else "main_b"
        reach = s_k + np.arange(0.0, max(5.0 * ego.speed_mps[10 * k], 20.0), 1.0)
        bends = drive.road.curvature(reach, centre[k])
        at_junction = network.junction_in_s_m <= front and s_k <= network.junction_out_s_m and d[k] > -depth
        if at_junction and np.sin(turned[k]) > TURNING and (d[k] <= depth or np.sin(turned[k]) > 0.9):
            yield drive.t_ns(k * 10), _turn_lane(drive, k, float(noise[k]), inside=bool(d[k] <= depth))
            continue
        if not aligned[k]:
            continue
        yield drive.t_ns(k * 10), {
            "lane_id": f"{edge}_{index[k]}", "lane_index": int(index[k]), "offset_m": round(float(d[k] - centre[k] + noise[k]), 4),
            "width_m": place.lane_m, "curvature_1pm": round(float(bends[0]), 6), "in_junction": bool(inside),
            "curvature_ahead_1pm": round(float(bends[np.argmax(np.abs(bends))]), 6), "junction_m": _ahead(network.junction_in_s_m - front),
            "stop_line_m": _ahead(network.stop_line_s_m - front), "crosswalk_m": _crosswalk(drive, float(front)),
            "lanes": place.lanes, "lane_ends_m": _lane_ends(drive, float(front), int(index[k])),
            "road_left_m": round(float(edge_m - d[k]), 4), "road_right_m": round(float(edge_m + d[k]), 4),
            "speed_limit_mps": MAIN_SPEED_MPS, "control": drive.plan.control if front <= network.stop_line_s_m else None,
        }  # fmt: skip


def _turn_lane(drive: Drive, k: int, noise_m: float, *, inside: bool) -> dict[str, Any]:
    """The lane of an ego that turns left: its own path in the junction, beyond it the right lane of the side road."""
    ego, i = drive.ego, 10 * k
    off_m = 0.0 if inside else drive.place.junction_s_m + SIDE_LANE_M / 2 - float(ego.x_m[i])
    curvature = ego.yaw_rate_radps[i] / ego.speed_mps[i] if inside and ego.speed_mps[i] > 0.5 else 0.0
    edges = (None, None) if inside else (round(1.5 * SIDE_LANE_M - off_m, 4), round(0.5 * SIDE_LANE_M + off_m, 4))
    return {
        "lane_id": ":J_left" if inside else "north_out_0", "lane_index": 0, "offset_m": round(off_m + noise_m, 4), "width_m": SIDE_LANE_M,
        "curvature_1pm": round(float(curvature), 6), "in_junction": inside, "curvature_ahead_1pm": None, "junction_m": None,
        "stop_line_m": None, "crosswalk_m": None, "lanes": 1, "lane_ends_m": None, "road_left_m": edges[0], "road_right_m": edges[1],
        "speed_limit_mps": SIDE_SPEED_MPS, "control": None,
    }  # fmt: skip


def _ahead(distance_m: float) -> float | None:
    return round(float(distance_m), 3) if 0.0 <= distance_m <= MAP_RANGE_M else None


def _lane_ends(drive: Drive, front_s_m: float, index: int) -> float | None:
    """Only the rightmost lane ends anywhere."""
    ends = drive.plan.lane_ends_s_m
    return None if ends is None or index else _ahead(ends - front_s_m)


def _crosswalk(drive: Drive, front_s_m: float) -> float | None:
    starts = (drive.network.junction_in_s_m, drive.network.junction_out_s_m - 4.0)
    return next((_ahead(start - front_s_m) for start in starts if start >= front_s_m), None)


def track_rows(drive: Drive, scenes: list[Instant]) -> Iterator[tuple[int, list[dict[str, Any]]]]:
    """`/tracks`, 10 Hz: boxes within 100 m in the ego frame, with noise that grows with the distance."""
    rng = _rng(drive, "/tracks")
    for scene in scenes:
        draws = rng.standard_normal((len(scene.actors), 5))
        yield scene.t_ns, [row for row in _boxes(scene, draws) if row is not None]


def _boxes(scene: Instant, draws: Array) -> Iterator[dict[str, Any] | None]:
    cos, sin = np.cos(scene.ego_heading_rad), np.sin(scene.ego_heading_rad)
    seen = visible(scene)
    for actor, draw, sight in zip(scene.actors, draws, seen, strict=True):
        dx, dy = actor.x_m - scene.ego_x_m, actor.y_m - scene.ego_y_m
        distance = float(np.hypot(dx, dy))
        if distance > TRACK_RANGE_M:
            continue
        sigma = TRACK_SIGMA_M + TRACK_SIGMA_PER_M * distance
        heading = actor.heading_rad - scene.ego_heading_rad + TRACK_HEADING_SIGMA * draw[2]
        still = TRACK_SPEED_SIGMA * (0.2 if actor.speed_mps == 0 else 1.0)
        course = actor.heading_rad - scene.ego_heading_rad
        yield {
            "track_id": actor.actor_id, "cls": actor.cls,
            "x_m": round(cos * dx + sin * dy + sigma * draw[0], 4), "y_m": round(-sin * dx + cos * dy + sigma * draw[1], 4),
            "z_m": actor.height_m / 2, "heading_rad": round(float(np.arctan2(np.sin(heading), np.cos(heading))), 5),
            "length_m": actor.length_m, "width_m": actor.width_m, "height_m": actor.height_m,
            "vx_mps": actor.speed_mps * np.cos(course) + still * draw[3], "vy_mps": actor.speed_mps * np.sin(course) + still * draw[4],
            "visible": sight, "position_sigma_m": round(sigma, 4), "subclass": actor.subclass or actor.cls, "flashing": actor.flashing,
        }  # fmt: skip
