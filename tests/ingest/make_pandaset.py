"""A tiny sequence folder in PandaSet's layout, with cuboids pickled as pandas 1 did it: no real data, any pandas."""

import copyreg
import gzip
import io
import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from pandas.core.indexes.base import _new_Index
from pandas.core.internals.managers import BlockManager

from tests.ingest.make_mcap import jpeg

T0_S = 1557539956.5
COUNT = 12
SPEED_MPS = 5.0
HEADING = 0.6
CAMERA_DELAY_S = 0.05
UUIDS = ("still-car", "moving-car", "walker", "bike")


class Legacy:
    """A frame to be pickled in the layout of pandas 0.14.1 to 1.2."""

    def __init__(self, columns: dict[str, np.ndarray[Any, Any]]) -> None:
        self.columns = columns

    def state(self) -> dict[str, Any]:
        """The state that those pandas wrote: axes, and blocks of equal kind with the places of their columns."""
        names = list(self.columns)
        axes = [LegacyIndex(np.array(names, object)), LegacyIndex(np.arange(len(next(iter(self.columns.values())))))]
        blocks = []
        for kind in sorted({column.dtype.kind for column in self.columns.values()}):
            places = np.array([k for k, name in enumerate(names) if self.columns[name].dtype.kind == kind])
            blocks.append({"values": np.array([self.columns[names[k]] for k in places]), "mgr_locs": places})
        return {"_data": LegacyManager((axes, [], [], {"0.14.1": {"axes": axes, "blocks": blocks}})), "_typ": "dataframe", "_metadata": []}


class LegacyManager:
    """A block manager to be pickled by its state."""

    def __init__(self, state: tuple[Any, ...]) -> None:
        self.state = state


class LegacyIndex:
    """An index to be pickled by its data."""

    def __init__(self, data: np.ndarray[Any, Any]) -> None:
        self.data = data


class _Pickler(pickle._Pickler):  # type: ignore[misc,name-defined]
    def save(self, obj: Any, save_persistent_id: bool = True) -> None:
        """Our stand-ins are written as old pandas reduced its own objects."""
        if isinstance(obj, Legacy):
            self.save_reduce(copyreg.__newobj__, (pd.DataFrame,), obj.state())  # type: ignore[attr-defined]
        elif isinstance(obj, LegacyManager):
            self.save_reduce(copyreg.__newobj__, (BlockManager,), obj.state)  # type: ignore[attr-defined]
        elif isinstance(obj, LegacyIndex):
            self.save_reduce(_new_Index, (pd.Index, {"data": obj.data, "name": None}))
        else:
            super().save(obj, save_persistent_id)


def legacy_pickle(columns: dict[str, np.ndarray[Any, Any]]) -> bytes:
    """The pickle of a frame as pandas 1 wrote it, but for the module names of the installed pandas and numpy."""
    sink = io.BytesIO()
    _Pickler(sink, protocol=3).dump(Legacy(columns))
    return sink.getvalue()


def pose(x: float, y: float, z: float, q: tuple[float, float, float, float]) -> dict[str, Any]:
    """A pose as PandaSet writes it."""
    return {"position": dict(zip("xyz", (x, y, z), strict=True)), "heading": dict(zip("wxyz", q, strict=True))}


def ego_place(t_s: float) -> tuple[float, float]:
    """Where the ego is, t_s seconds after the start: straight on at SPEED_MPS along HEADING."""
    return SPEED_MPS * t_s * float(np.cos(HEADING)), SPEED_MPS * t_s * float(np.sin(HEADING))


def cuboids(t_s: float) -> dict[str, np.ndarray[Any, Any]]:
    """Four objects: a still car at (20, 3) and one driving ahead at 8 m/s, a pedestrian, a bicycle without a rider."""
    forward = np.array([np.cos(HEADING), np.sin(HEADING)])
    places = np.array([[20.0, 3.0], (10 + 8 * t_s) * forward, [5.0, 8.0], [6.0, 9.0]])
    sizes = {"dimensions.x": [1.8, 1.9, 0.6, 0.6], "dimensions.y": [4.5, 4.6, 0.7, 1.8], "dimensions.z": [1.5, 1.5, 1.8, 1.2]}
    numbers = {
        "yaw": np.full(4, HEADING - np.pi / 2),
        "position.x": places[:, 0],
        "position.y": places[:, 1],
        "position.z": np.full(4, 0.75 - 0.29),
    }
    words = {
        "uuid": np.array(UUIDS, object), "label": np.array(["Car", "Car", "Pedestrian with Object", "Bicycle"], object),
        "attributes.rider_status": np.array([np.nan, np.nan, np.nan, "Without Rider"], object),
    }  # fmt: skip
    return words | {"stationary": np.array([True, False, True, True])} | {k: np.array(v) for k, v in (numbers | sizes).items()}


def make_sequence(folder: Path, *, annotations: bytes | None = None) -> Path:
    """Writes the folder; `annotations` replaces the first cuboid file's unpacked bytes."""
    times = [T0_S + k / 10 for k in range(COUNT)]
    c, s = float(np.cos((HEADING - np.pi / 2) / 2)), float(np.sin((HEADING - np.pi / 2) / 2))
    level = (c, 0.0, 0.0, s)
    write(folder / "lidar/poses.json", [pose(*ego_place(t - T0_S), 0.0, level) for t in times])
    write(folder / "lidar/timestamps.json", times)
    write(folder / "meta/gps.json", [{"lat": 37.77, "long": -122.4, "height": 2.9, "xvel": 0.0, "yvel": SPEED_MPS} for _ in times])
    camera = folder / "camera/front_camera"
    # The optical frame of a camera looking along the vehicle's y: x right, y down, z forward.
    half = float(np.sqrt(0.5))
    optical = (c * half, -c * half, -s * half, s * half)
    write(camera / "timestamps.json", [t - CAMERA_DELAY_S for t in times])
    write(camera / "poses.json", [pose(*ego_place(t - T0_S - CAMERA_DELAY_S), 1.5, optical) for t in times])
    write(camera / "intrinsics.json", {"fx": 50.0, "fy": 50.0, "cx": 32.0, "cy": 18.0})
    for k, t in enumerate(times):
        (camera / f"{k:02d}.jpg").write_bytes(jpeg(k))
        data = annotations if annotations is not None and k == 0 else legacy_pickle(cuboids(t - T0_S))
        file = folder / f"annotations/cuboids/{k:02d}.pkl.gz"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(gzip.compress(data, mtime=0))
    return folder


def write(file: Path, value: Any) -> None:
    """A JSON file and its folder."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(value))
