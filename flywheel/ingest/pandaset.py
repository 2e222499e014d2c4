"""PandaSet sequence folders (Hesai and Scale AI, CC BY 4.0): cameras, cuboids, poses and GPS to a Drive; lidar is not ingested."""

import re
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from flywheel.errors import BadData
from flywheel.ingest import pandaset_cameras as cameras
from flywheel.ingest.drive import Beats, Blob, DriveFacts, Item, Log, Rows
from flywheel.ingest.ego_path import MOTION
from flywheel.ingest.pandaset_boxes import CUBOID_FILE, tracks_table
from flywheel.ingest.pandaset_pose import load_ego_path, load_json
from flywheel.ingest.quality import check_finite
from flywheel.ingest.signals import Stream, signals_table
from flywheel.ingest.whereabouts import day_of, tenth_of_a_degree

Array = NDArray[np.float64]

ROOT = re.compile(
    r"(?P<root>(?:.*/)?)(?:camera/\w+/(?:\d+\.jpg|\w+\.json)|annotations/(?:cuboids|semseg)/.*|lidar/(?:\d+\.pkl\.gz|\w+\.json)|meta/\w+\.json)"
)
DERIVED = (*MOTION, "TRACKS.vx_mps", "TRACKS.vy_mps")
# The two places PandaSet was driven in (its paper: SF and El Camino Real), by latitude and longitude in degrees.
PLACES = {"san_francisco": (37.70, 37.84, -122.53, -122.35), "el_camino_real": (37.30, 37.70, -122.47, -121.90)}


def matches(log: Log) -> bool:
    """Whether the log is a folder with PandaSet's poses, and its cuboids or a camera."""
    parts = log.paths
    labelled = any(CUBOID_FILE.fullmatch(path) for path in parts) or bool(cameras.pictures(log))
    return "lidar/poses.json" in parts and labelled


def read(log: Log) -> Iterator[Item]:
    """The drive of a PandaSet sequence; BadData names the file of what is wrong."""
    ego = load_ego_path(log)
    gps = load_gps(log, count=len(ego.times))
    yield DriveFacts(
        vehicle_id="pandaset", place=place_of(gps["lat_deg"], gps["lon_deg"]), day=day_of(int(ego.times[0])), clock="epoch",
        licence="CC-BY-4.0", derived=DERIVED, has_map=False,
    )  # fmt: skip
    yield Rows("SIGNALS", signals_table([Stream(times=ego.times, columns=ego.signals() | gps)]))
    yield Beats("lidar", ego.times)
    yield Rows("TRACKS", tracks_table(log, ego))
    frames = cameras.frames_table(log, ego)
    yield Rows("FRAMES", frames)
    yield from cameras.beats(frames)
    yield from cameras.shown(log)


def media(log: Log) -> Iterator[Blob]:
    """The sequence's images byte for byte."""
    return cameras.images(log)


def load_gps(log: Log, *, count: int) -> dict[str, Array]:
    """lat_deg and lon_deg at the poses' times, from meta/gps.json."""
    said = load_json(log, "meta/gps.json")
    try:
        found = np.array([[fix["lat"], fix["long"]] for fix in said], np.float64)
    except (KeyError, TypeError, ValueError) as err:
        raise BadData(f"meta/gps.json: expected a list with lat and long: {err!r}") from err
    if len(found) != count:
        raise BadData(f"meta/gps.json: {len(found)} fixes for {count} poses")
    for axis, name in enumerate(("lat", "long")):
        check_finite("meta/gps.json", name, times=np.arange(count), values=found[:, axis])
    return {"lat_deg": found[:, 0], "lon_deg": found[:, 1]}


def place_of(lat_deg: Array, lon_deg: Array) -> str:
    """The place's name, or the tenth of a degree it lies in."""
    lat, lon = float(np.median(lat_deg)), float(np.median(lon_deg))
    named = [name for name, (south, north, west, east) in PLACES.items() if south <= lat < north and west <= lon < east]
    return named[0] if named else tenth_of_a_degree(lat, lon)
