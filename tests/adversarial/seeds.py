"""The valid logs that get spoiled: what `tests/ingest/make_<format>.py` writes, for every format there is, as {path: bytes}."""

import contextlib
import functools
import importlib
import tempfile
from collections.abc import Callable
from pathlib import Path

from mcap.writer import CompressionType
from rosbags.rosbag2 import CompressionFormat, CompressionMode, StoragePlugin
from rosbags.rosbag2 import Writer as Writer2

from flywheel.ingest.formats import FORMATS
from tests.adversarial.kinds import Files
from tests.ingest import make_av2
from tests.ingest import make_can as cans
from tests.ingest import make_rosbag as rosbags
from tests.ingest.make_mcap import METADATA, drive_items, make_mcap, write_log
from tests.ingest.make_mcap_other import make_other
from tests.ingest.make_pandaset import make_sequence
from tests.ingest.make_video import elementary, make_video

Make = Callable[[Path], object]
BAG_S = 1.2


def bare_mcap(folder: Path) -> Path:
    """A short drive without checksums or compression, so that damage reaches every decoder."""
    items = sorted(drive_items(1.1, 10.0, camera=True), key=lambda item: item[1])
    thinned = [item for k, item in enumerate(items) if not item[0].startswith(("/ego", "/imu")) or k % 5 == 0]
    return write_log(folder / "bare.mcap", thinned, metadata=METADATA, compression=CompressionType.NONE, crcs=False)


def bag1(folder: Path, compression: str = "") -> Path:
    """A short ROS 1 bag."""
    return rosbags.make_rosbag1(folder, said=rosbags.drive(rosbags.Ros(1), seconds=BAG_S), compression=compression)


def bag2(folder: Path, *, storage: StoragePlugin = StoragePlugin.SQLITE3, by_message: bool = False) -> Path:
    """A short ROS 2 bag folder: SQLite, with each message compressed if asked, or MCAP."""
    ros, connections = rosbags.Ros(2), {}
    writer = Writer2(folder / "bag", version=9, storage_plugin=storage)
    if by_message:
        writer.set_compression(CompressionMode.MESSAGE, CompressionFormat.ZSTD)
    with writer:
        for topic, kind, t_ns, message in rosbags.drive(ros, seconds=BAG_S):
            if topic not in connections:
                connections[topic] = writer.add_connection(topic, kind, typestore=ros.store)
            writer.write(connections[topic], t_ns, ros.store.serialize_cdr(message, kind))
    return folder


def make_multiview(folder: Path) -> Path:
    """Two cameras with two short clips each, and a caption."""
    for camera in ("ftheta_camera_front_wide_120fov", "ftheta_camera_rear_tele_30fov"):
        for number in range(2):
            file = folder / "day/videos" / camera / f"av_1_{number}.mp4"
            file.parent.mkdir(parents=True, exist_ok=True)
            make_video(file, frames=26, gop=26 + number)
    caption = folder / "day/captions/ftheta_camera_front_wide_120fov/av_1_0.json"
    caption.parent.mkdir(parents=True)
    caption.write_text("{}")
    return folder


# Seeds that are not simply `make_<format>(folder)`, by the format they belong to.
SPECIAL: dict[str, dict[str, Make]] = {
    "mcap": {
        "mcap": bare_mcap, "mcap_zstd": lambda folder: make_mcap(folder / "a.mcap", seconds=1.1),
        "mcap_json": lambda folder: make_other(folder / "a.mcap", seconds=2.0, as_json=True),
        "mcap_video": lambda folder: make_other(folder / "a.mcap", seconds=2.0, packets=[packet for _, packet in elementary(frames=20)]),
        "mcap_ros2": lambda folder: bag2(folder, storage=StoragePlugin.MCAP),
    },
    "pandaset": {"pandaset": lambda folder: make_sequence(folder / "seq")},
    "video": {"video": lambda folder: make_video(folder / "a.mp4", frames=40)},
    "multiview": {"multiview": make_multiview},
    "rosbag1": {
        "rosbag1": bag1, "rosbag1_bz2": lambda folder: bag1(folder, "bz2"), "rosbag1_lz4": lambda folder: bag1(folder, "lz4"),
    },
    "rosbag2": {
        "rosbag2_db3": lambda folder: rosbags.make_db3(folder / "a.db3", said=rosbags.drive(rosbags.Ros(2), seconds=BAG_S)),
        "rosbag2": bag2, "rosbag2_zstd": lambda folder: bag2(folder, by_message=True),
    },
    "can": {"can": cans.make_can, "can_asc": lambda folder: cans.make_can(folder, kind="asc"),
            "can_blf": lambda folder: cans.make_can(folder, kind="blf")},
    "av2_sensor": {"av2_sensor": lambda folder: make_av2.make_av2_sensor(folder)},
    "av2_forecast": {"av2_forecast": lambda folder: make_av2.make_av2_forecast(folder)},
}  # fmt: skip


def makers(name: str) -> dict[str, Make]:
    """How to write the seeds of a format, by their names; LookupError if nobody has said how."""
    if name in SPECIAL:
        return SPECIAL[name]
    try:
        found: Make = getattr(importlib.import_module(f"tests.ingest.make_{name}"), f"make_{name}")
    except (ImportError, AttributeError) as err:
        raise LookupError(f"format {name} has no seed: write tests/ingest/make_{name}.py with make_{name}(folder) ({err})") from err
    return {name: found}


def unseeded() -> list[str]:
    """Formats that nobody wrote a seed for, and why."""
    found = []
    for kind in FORMATS:
        try:
            makers(kind.name)
        except LookupError as err:
            found.append(str(err))
    return found


@functools.cache
def seeds() -> dict[str, Files]:
    """Every seed: name -> {path: bytes}; a format without one is left out (`unseeded` tells)."""
    found: dict[str, Files] = {}
    for kind in FORMATS:
        with contextlib.suppress(LookupError):
            found |= {name: written(make) for name, make in sorted(makers(kind.name).items())}
    return found


def written(make: Make) -> Files:
    """What a maker writes into a folder of its own."""
    with tempfile.TemporaryDirectory(prefix="flywheel-seed-") as top:
        make(Path(top))
        return {file.relative_to(top).as_posix(): file.read_bytes() for file in sorted(Path(top).rglob("*")) if file.is_file()}
