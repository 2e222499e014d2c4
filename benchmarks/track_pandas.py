"""Ten of the track detectors as one would write them in pandas: loops over groups of frames and of tracks. Yardstick of mine_tracks.

low_ttc, low_thw, lead_brakes, tailgater, cut_in, pedestrian_crossing, stationary_object, wrong_way_vehicle, dense_crowd and
emergency_vehicle, with the catalogue's thresholds, durations and merging. The path is the arc of the yaw rate (no line, no lanes, no
placing by steps), so this does less work a row than ours, and its counts are near ours, not equal (on curves the arc takes oncoming
cars for wrong-way ones and neighbours for cut-ins). Only counts of events are given back.
"""

from collections.abc import Iterator

import numpy as np
import pandas as pd

FRONT_M, REAR_M, WIDTH_M, S = 3.7, -0.9, 1.85, 1_000_000_000
RIDERS = ("car", "truck", "bus", "cyclist")
DETECTORS = (
    "low_ttc", "low_thw", "lead_brakes", "tailgater", "cut_in", "pedestrian_crossing", "stationary_object", "wrong_way_vehicle",
    "dense_crowd", "emergency_vehicle",
)  # fmt: skip


def runs(mask: pd.Series, t: pd.Series, *, min_s: float, merge_s: float = 2.0) -> list[tuple[int, int]]:
    """Stretches of true in time order, long enough, joined where less than merge_s apart: (begin, end) in ns."""
    number = ((mask != mask.shift()) | (t.diff() > 350_000_000)).cumsum()
    found: list[tuple[int, int]] = []
    for _, part in t[mask].groupby(number[mask]):
        begin, end = int(part.iloc[0]), int(part.iloc[-1]) + S // 10
        if end - begin < min_s * S:
            continue
        if found and begin - found[-1][1] < merge_s * S:
            found[-1] = (found[-1][0], end)
        else:
            found.append((begin, end))
    return found


def on_path(signals: pd.DataFrame, tracks: pd.DataFrame) -> pd.DataFrame:
    """The tracks with the ego's speed, their place along and across its arc, gaps and speeds."""
    ego = signals[["t_ns", "speed_mps", "yaw_rate_radps"]].dropna()
    rows = pd.merge_asof(tracks.sort_values("t_ns"), ego, on="t_ns", direction="nearest", tolerance=S // 4).dropna(subset=["speed_mps"])
    k = (rows["yaw_rate_radps"] / rows["speed_mps"].clip(lower=3.0)).clip(-0.2, 0.2)
    k = k.where(k.abs() > 1e-6, 1e-6)
    angle = np.arctan2(k * rows["x_m"], 1 - k * rows["y_m"])
    rows["side_m"] = (1 - np.hypot(k * rows["x_m"], 1 - k * rows["y_m"])) / k
    turned = np.arctan2(np.sin(rows["heading_rad"] - angle), np.cos(rows["heading_rad"] - angle))
    reach = (np.cos(turned).abs() * rows["length_m"] + np.sin(turned).abs() * rows["width_m"]) / 2
    half = (np.sin(turned).abs() * rows["length_m"] + np.cos(turned).abs() * rows["width_m"]) / 2
    rows["front_m"] = angle / k - FRONT_M
    rows["gap_m"] = (rows["front_m"] - reach).clip(lower=0)
    rows["behind_m"] = REAR_M - angle / k - reach
    rows["along_mps"] = rows["vx_mps"] * np.cos(angle) + rows["vy_mps"] * np.sin(angle)
    rows["across_mps"] = rows["vy_mps"] * np.cos(angle) - rows["vx_mps"] * np.sin(angle)
    rows["turned"] = turned
    rows["over"] = rows["side_m"].abs() < half + WIDTH_M / 2
    rows["rides"] = rows["cls"].isin(RIDERS) & (turned.abs() <= np.pi / 4)
    return rows


def nearest(rows: pd.DataFrame, column: str) -> pd.DataFrame:
    """One row a frame: the nearest, frame by frame."""
    picked = [part.loc[part[column].idxmin()] for _, part in rows.groupby("t_ns")]
    return pd.DataFrame(picked).reset_index(drop=True) if picked else rows.head(0)


def following(rows: pd.DataFrame) -> Iterator[tuple[str, int]]:
    """Who is next ahead and next behind on the path."""
    lead = nearest(rows[rows["rides"] & rows["over"] & (rows["front_m"] > 0)], "gap_m")
    closing = lead["speed_mps"].astype(float) - lead["along_mps"].astype(float)
    t, gap, speed = lead["t_ns"].astype("int64"), lead["gap_m"].astype(float), lead["speed_mps"].astype(float)
    ttc = (gap / closing.where(closing > 0)).fillna(np.inf)
    yield "low_ttc", len(runs((ttc <= 3.0) & (closing >= 1.0), t, min_s=0.2))
    yield "low_thw", len(runs((gap / speed.clip(lower=0.1) <= 1.0) & (speed >= 8.0), t, min_s=3.0))
    brakes = 0
    for _, part in lead.groupby("track_id"):
        smooth = part["along_mps"].astype(float).rolling(5, center=True, min_periods=1).mean()
        accel = smooth.diff() / (part["t_ns"].astype("int64").diff() / S)
        headway = part["gap_m"].astype(float) / part["speed_mps"].astype(float).clip(lower=0.1)
        brakes += len(runs((accel <= -3.0) & (headway < 2.0), part["t_ns"].astype("int64"), min_s=0.3))
    yield "lead_brakes", brakes
    rear = nearest(rows[rows["rides"] & rows["over"] & (rows["behind_m"] > 0)], "behind_m")
    fast = rear["along_mps"].astype(float)
    yield "tailgater", len(runs((rear["behind_m"].astype(float) / fast.clip(lower=0.1) <= 0.8) & (fast >= 8.0), rear["t_ns"], min_s=3.0))


def by_track(rows: pd.DataFrame, lanes: pd.DataFrame) -> Iterator[tuple[str, int]]:
    """Whatever a single road user does, track by track."""
    rows = pd.merge_asof(rows, lanes[["t_ns", "offset_m", "width_m"]].rename(columns={"width_m": "lane_m"}), on="t_ns", direction="nearest")
    count = dict.fromkeys(("cut_in", "pedestrian_crossing", "stationary_object", "wrong_way_vehicle", "emergency_vehicle"), 0)
    for _, part in rows.groupby("track_id"):
        t, cls = part["t_ns"], part["cls"].iloc[0]
        speed = np.hypot(part["vx_mps"], part["vy_mps"])
        if cls in ("car", "truck", "bus"):
            place = part["side_m"] + part["offset_m"]
            inside = (place.abs() < part["lane_m"] / 2 - 0.3 + part["width_m"] / 2) & (part["front_m"] > 0) & (part["gap_m"] <= 50)
            begins = runs(inside & part["rides"], t, min_s=0.3)
            outside = place.abs().shift(20).between(part["lane_m"] / 2, 1.5 * part["lane_m"]) & part["rides"].shift(20, fill_value=False)
            count["cut_in"] += sum(bool(outside[t == begin].any()) for begin, _ in begins)
            wrong = (part["turned"].abs() > np.radians(120)) & (speed >= 3.0) & (place.abs() < part["lane_m"] / 2) & part["over"]
            count["wrong_way_vehicle"] += len(runs(wrong, t, min_s=1.0))
        if cls == "pedestrian":
            inside = (part["side_m"].abs() <= WIDTH_M / 2 + 0.5) & (part["front_m"] > 0)
            inside &= part["front_m"] <= (4.0 * part["speed_mps"]).clip(lower=8.0)
            walks = part["across_mps"].abs().mean() >= 0.5
            count["pedestrian_crossing"] += len(runs(inside, t, min_s=0.5)) if walks else 0
        ahead = (speed < 0.5) & part["over"] & (part["gap_m"] <= 80) & (part["front_m"] > 0)
        soon = part["gap_m"] / part["speed_mps"].clip(lower=0.1) <= 5.0
        count["stationary_object"] += len(runs(ahead & soon, t, min_s=0.5))
        if part["flashing"].any():
            near = part["flashing"].fillna(False).astype(bool) & (np.hypot(part["x_m"], part["y_m"]) <= 100)
            count["emergency_vehicle"] += len(runs(near, t, min_s=1.0))
    yield from count.items()


def crowds(rows: pd.DataFrame) -> int:
    """Frames with ten walkers within 20 m, frame by frame."""
    near = rows[(rows["cls"] == "pedestrian") & (np.hypot(rows["x_m"], rows["y_m"]) <= 20)]
    counts = near.groupby("t_ns").apply(len, include_groups=False) if len(near) else pd.Series(dtype="int64")
    return len(runs((counts >= 10).reset_index(drop=True), pd.Series(counts.index.to_numpy(), dtype="int64"), min_s=2.0))


def detect(signals: pd.DataFrame, tracks: pd.DataFrame, lanes: pd.DataFrame) -> dict[str, int]:
    """Events of one drive by scenario."""
    rows = on_path(signals, tracks)
    found = dict(following(rows)) | dict(by_track(rows, lanes)) | {"dense_crowd": crowds(rows)}
    return {name: found[name] for name in DETECTORS}
