"""Small bags of a known drive, ROS 1 and ROS 2: 14 s to the left on a circle, with odometry, IMU, GNSS, cameras, objects and TF.

The ego drives at SPEED_MPS on a circle of RADIUS_M, counter-clockwise from (RADIUS_M, 0) heading north. The IMU is mounted turned by
90 degrees; a parked car stands at PARKED; one topic has a type nobody knows.
"""

import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from rosbags.rosbag1 import Writer as Writer1
from rosbags.rosbag2 import CompressionFormat, CompressionMode, StoragePlugin
from rosbags.rosbag2 import Writer as Writer2
from rosbags.typesys import Stores, get_types_from_msg, get_typestore

from flywheel.ingest.ros_definitions import DEFINITIONS
from flywheel.ingest.whereabouts import WGS84_A_M

T0_NS = 1_700_000_000 * 10**9
SECONDS, SPEED_MPS, RADIUS_M = 14.0, 10.0, 80.0
YAW_RATE = SPEED_MPS / RADIUS_M
LAT, LON = 48.137, 11.575
ODOMETRY_HZ, IMU_HZ = 20.0, 50.0
LATE_NS = 4_000_000
WIDE, HIGH = 32, 24
TF_TEXT = "geometry_msgs/TransformStamped[] transforms"
OPAQUE = "std_msgs/Header header\nuint8[] secret"
IMU_AXES = (0.0, 0.0, float(np.sqrt(0.5)), float(np.sqrt(0.5)))
PARKED = (60.0, 40.0)
OPTICAL = (-0.5, 0.5, -0.5, 0.5)


class Said(NamedTuple):
    """One message: topic, type, record time, content."""

    topic: str
    type: str
    t_ns: int
    message: Any


class Ros:
    """The type store of ROS 1 or ROS 2 with the types that vehicles add."""

    def __init__(self, version: int) -> None:
        self.version = version
        self.store = get_typestore(Stores.ROS1_NOETIC if version == 1 else Stores.ROS2_HUMBLE)
        for name, text in {**DEFINITIONS, "tf2_msgs/msg/TFMessage": TF_TEXT, "maker_msgs/msg/Opaque": OPAQUE}.items():
            types = get_types_from_msg(text, name)
            known = self.store.fielddefs
            uuid = get_types_from_msg("uint8[16] uuid", "unique_identifier_msgs/msg/UUID")
            self.store.register({kind: fields for kind, fields in {**types, **uuid}.items() if kind not in known})

    def make(self, kind: str, **given: Any) -> Any:
        """A message with the given fields, the others at their zero."""
        cls, fields = self.store.types[kind], self.store.fielddefs[kind][1]
        upper = {name.lower(): name for name, _ in fields}
        found = {name: self._zero(field) for name, field in fields}
        return cls(**(found | {upper[name]: value for name, value in given.items()}))

    def _zero(self, field: Any) -> Any:
        kind, said = field
        if kind.name == "BASE":
            return "" if said[0] == "string" else 0
        if kind.name == "NAME":
            return self.make(said)
        (inner, what), size = said
        if inner.name == "BASE" and what[0] != "string":
            return (
                np.zeros(size, {"byte": "uint8", "char": "uint8"}.get(what[0], what[0])) if kind.name == "ARRAY" else np.zeros(0, what[0])
            )
        return []

    def header(self, t_ns: int, frame: str) -> Any:
        """A header stamped a little before a message is recorded."""
        stamp = self.make("builtin_interfaces/msg/Time", sec=(t_ns - LATE_NS) // 10**9, nanosec=(t_ns - LATE_NS) % 10**9)
        return self.make("std_msgs/msg/Header", stamp=stamp, frame_id=frame)

    def vector(self, x: float, y: float, z: float, kind: str = "Vector3") -> Any:
        """A geometry_msgs vector or point."""
        return self.make(f"geometry_msgs/msg/{kind}", x=x, y=y, z=z)

    def turn(self, q: tuple[float, float, float, float]) -> Any:
        """A quaternion x y z w."""
        return self.make("geometry_msgs/msg/Quaternion", x=q[0], y=q[1], z=q[2], w=q[3])

    def pose(self, x: float, y: float, yaw: float, z: float = 0.0) -> Any:
        """A pose on the ground."""
        turned = self.turn((0.0, 0.0, float(np.sin(yaw / 2)), float(np.cos(yaw / 2))))
        return self.make("geometry_msgs/msg/Pose", position=self.vector(x, y, z, "Point"), orientation=turned)


def place(t_s: float) -> tuple[float, float, float]:
    """The ego's x, y and heading."""
    angle = YAW_RATE * t_s
    return RADIUS_M * float(np.cos(angle)), RADIUS_M * float(np.sin(angle)), float((angle + np.pi / 2 + np.pi) % (2 * np.pi) - np.pi)


def steps(rate_hz: float, seconds: float) -> Iterator[tuple[float, int]]:
    """Sample times in seconds and in ns."""
    for at in range(int(seconds * rate_hz)):
        yield at / rate_hz, T0_NS + round(at * 1e9 / rate_hz)


def drive(ros: Ros, *, seconds: float = SECONDS) -> list[Said]:
    """Every message of the drive, in rising time."""
    parts: tuple[Callable[[Ros, float], Iterator[Said]], ...] = (_transforms, _odometry, _imu, _gnss, _cameras, _objects, _opaque)
    return sorted((said for part in parts for said in part(ros, seconds)), key=lambda said: said.t_ns)


def _link(ros: Ros, t_ns: int, parent: str, child: str, at: tuple[float, float, float], q: tuple[float, float, float, float]) -> Any:
    where = ros.make("geometry_msgs/msg/Transform", translation=ros.vector(*at), rotation=ros.turn(q))
    return ros.make("geometry_msgs/msg/TransformStamped", header=ros.header(t_ns, parent), child_frame_id=child, transform=where)


def _transforms(ros: Ros, seconds: float) -> Iterator[Said]:
    links = [
        _link(ros, T0_NS, "base_link", "imu", (0.5, 0.0, 0.4), IMU_AXES),
        _link(ros, T0_NS, "base_link", "sensors", (1.0, 0.0, 1.5), (0.0, 0.0, 0.0, 1.0)),
        _link(ros, T0_NS, "sensors", "front_optical", (0.5, 0.1, 0.0), OPTICAL),
    ]
    yield Said("/tf_static", "tf2_msgs/msg/TFMessage", T0_NS, ros.make("tf2_msgs/msg/TFMessage", transforms=links))


def _odometry(ros: Ros, seconds: float) -> Iterator[Said]:
    for topic, rate in (("/odom", ODOMETRY_HZ), ("/odom_wheel", 10.0)):
        for t_s, t_ns in steps(rate, seconds):
            x, y, yaw = place(t_s)
            slip = 0.25 if topic == "/odom_wheel" else 0.0
            twist = ros.make("geometry_msgs/msg/Twist", linear=ros.vector(SPEED_MPS + slip, 0, 0), angular=ros.vector(0, 0, YAW_RATE))
            message = ros.make(
                "nav_msgs/msg/Odometry", header=ros.header(t_ns, "map"), child_frame_id="base_link",
                pose=ros.make("geometry_msgs/msg/PoseWithCovariance", pose=ros.pose(x, y, yaw)),
                twist=ros.make("geometry_msgs/msg/TwistWithCovariance", twist=twist),
            )  # fmt: skip
            yield Said(topic, "nav_msgs/msg/Odometry", t_ns, message)


def _imu(ros: Ros, seconds: float) -> Iterator[Said]:
    """Centripetal push to the ego's left; the sensor's x axis points there."""
    for _, t_ns in steps(IMU_HZ, seconds):
        push, spin = ros.vector(SPEED_MPS * YAW_RATE, 0, 9.81), ros.vector(0, 0, YAW_RATE)
        said = ros.make("sensor_msgs/msg/Imu", header=ros.header(t_ns, "imu"), linear_acceleration=push, angular_velocity=spin)
        yield Said("/imu", "sensor_msgs/msg/Imu", t_ns, said)


def _gnss(ros: Ros, seconds: float) -> Iterator[Said]:
    """Two receivers, the second two metres east; every tenth fix of the first is none."""
    scale = np.degrees(1 / WGS84_A_M)
    for topic, east in (("/gnss", 0.0), ("/gnss_roof", 2.0)):
        for at, (t_s, t_ns) in enumerate(steps(10.0 if east == 0 else 5.0, seconds)):
            x, y, _ = place(t_s)
            status = ros.make("sensor_msgs/msg/NavSatStatus", status=-1 if east == 0 and at % 10 == 5 else 0)
            lon = LON + (x + east) * scale / np.cos(np.radians(LAT))
            message = ros.make(
                "sensor_msgs/msg/NavSatFix", header=ros.header(t_ns, "gnss"), status=status, latitude=LAT + y * scale, longitude=lon
            )
            yield Said(topic, "sensor_msgs/msg/NavSatFix", t_ns, message)


def pixels(at: int) -> Any:
    """(HIGH, WIDE, 3) uint8 pixels, red first, different in every frame and never black."""
    grid = np.arange(HIGH * WIDE * 3).reshape(HIGH, WIDE, 3)
    return ((grid * 7 + at * 31) % 200 + 40).astype(np.uint8)


def _cameras(ros: Ros, seconds: float) -> Iterator[Said]:
    import cv2

    k = np.array([20.0, 0, 16, 0, 20, 12, 0, 0, 1])
    for at, (_, t_ns) in enumerate(steps(2.0, seconds)):
        head = ros.header(t_ns, "front_optical")
        info = ros.make("sensor_msgs/msg/CameraInfo", header=head, height=HIGH, width=WIDE, k=k)
        yield Said("/front/camera_info", "sensor_msgs/msg/CameraInfo", t_ns, info)
        image = ros.make(
            "sensor_msgs/msg/Image", header=head, height=HIGH, width=WIDE, encoding="rgb8", step=WIDE * 3, data=pixels(at).ravel()
        )
        yield Said("/front/image_raw", "sensor_msgs/msg/Image", t_ns, image)
        jpeg = cv2.imencode(".jpg", pixels(at)[:, :, ::-1])[1].ravel()
        packed = ros.make("sensor_msgs/msg/CompressedImage", header=ros.header(t_ns, "rear_optical"), format="jpeg", data=jpeg)
        yield Said("/rear/image_raw/compressed", "sensor_msgs/msg/CompressedImage", t_ns, packed)


def _objects(ros: Ros, seconds: float) -> Iterator[Said]:
    """The parked car in the map's frame, as Autoware tells it."""
    package = "autoware_auto_perception_msgs/msg"
    for _, t_ns in steps(10.0, seconds):
        shape = ros.make(f"{package}/Shape", dimensions=ros.vector(4.5, 1.8, 1.5))
        label = ros.make(f"{package}/ObjectClassification", label=1, probability=0.9)
        where = ros.make("geometry_msgs/msg/PoseWithCovariance", pose=ros.pose(*PARKED, 0.3, 0.75))
        thing = ros.make(
            f"{package}/TrackedObject", object_id=ros.make("unique_identifier_msgs/msg/UUID", uuid=np.arange(16, dtype=np.uint8)),
            classification=[label], shape=shape, kinematics=ros.make(f"{package}/TrackedObjectKinematics", pose_with_covariance=where),
        )  # fmt: skip
        yield Said(
            "/objects", f"{package}/TrackedObjects", t_ns,
            ros.make(f"{package}/TrackedObjects", header=ros.header(t_ns, "map"), objects=[thing]),
        )  # fmt: skip


def _opaque(ros: Ros, seconds: float) -> Iterator[Said]:
    for _, t_ns in steps(1.0, seconds):
        yield Said("/maker", "maker_msgs/msg/Opaque", t_ns, ros.make("maker_msgs/msg/Opaque", header=ros.header(t_ns, "x")))


def make_rosbag1(folder: Path, *, said: list[Said] | None = None, compression: str = "", name: str = "drive.bag") -> Path:
    """A ROS 1 bag; compression may be "bz2" or "lz4"."""
    ros, file = Ros(1), folder / name
    folder.mkdir(parents=True, exist_ok=True)
    writer = Writer1(file)
    if compression:
        writer.set_compression(Writer1.CompressionFormat[compression.upper()])
    with writer:
        connections: dict[str, Any] = {}
        for topic, kind, t_ns, message in drive(ros) if said is None else said:
            if topic not in connections:
                connections[topic] = writer.add_connection(topic, kind, typestore=ros.store)
            writer.write(connections[topic], t_ns, ros.store.serialize_ros1(message, kind))
    return file


def make_rosbag2(folder: Path, *, compression: str = "") -> Path:
    """A ROS 2 bag folder with metadata.yaml and definitions, as `ros2 bag record` writes it; compression may be "message" or "file"."""
    ros = Ros(2)
    writer = Writer2(folder, version=9, storage_plugin=StoragePlugin.SQLITE3)
    if compression:
        writer.set_compression(CompressionMode[compression.upper()], CompressionFormat.ZSTD)
    with writer:
        connections: dict[str, Any] = {}
        for topic, kind, t_ns, message in drive(ros):
            if topic not in connections:
                connections[topic] = writer.add_connection(topic, kind, typestore=ros.store)
            writer.write(connections[topic], t_ns, ros.store.serialize_cdr(message, kind))
    return folder


def make_db3(file: Path, *, said: list[Said] | None = None, first: int = 1) -> Path:
    """A lone .db3 as ROS 2 Humble writes it: no definitions; topic ids begin at `first`."""
    ros = Ros(2)
    messages = drive(ros) if said is None else said
    topics = {topic: (first + at, kind) for at, (topic, kind) in enumerate(sorted({(s.topic, s.type) for s in messages}))}
    file.parent.mkdir(parents=True, exist_ok=True)
    base = sqlite3.connect(file)
    base.execute("CREATE TABLE topics(id INTEGER PRIMARY KEY,name TEXT NOT NULL,type TEXT NOT NULL,serialization_format TEXT NOT NULL)")
    base.execute("CREATE TABLE messages(id INTEGER PRIMARY KEY,topic_id INTEGER NOT NULL,timestamp INTEGER NOT NULL, data BLOB NOT NULL)")
    base.execute("CREATE INDEX timestamp_idx ON messages (timestamp ASC)")
    base.executemany("INSERT INTO topics VALUES (?,?,?,'cdr')", [(at, topic, kind) for topic, (at, kind) in topics.items()])
    rows = [(topics[s.topic][0], s.t_ns, bytes(ros.store.serialize_cdr(s.message, s.type))) for s in messages]
    base.executemany("INSERT INTO messages(topic_id, timestamp, data) VALUES (?,?,?)", rows)
    base.commit()
    base.close()
    return file


def make_rosbag(folder: Path) -> Path:
    """A folder with one bag of each kind: `drive.bag`, `drive.db3`, and the bag folder `bag`."""
    make_rosbag1(folder)
    make_db3(folder / "drive.db3")
    make_rosbag2(folder / "bag")
    return folder
