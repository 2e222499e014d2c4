"""RosStreams without any bag: windows, leaders, derivation, frames, objects, clocks, and definitions that mean harm."""

import time
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from flywheel.errors import BadData
from flywheel.ingest.drive import Beats, DriveFacts, Finding, Item, Rows
from flywheel.ingest.quality import T_MIN_NS
from flywheel.ingest.ros_types import message_type
from flywheel.ingest.ros_vocab import RosStreams
from tests.ingest import make_rosbag as made
from tests.ingest.make_rosbag import T0_NS, Ros, Said

ROS = Ros(2)
ODOMETRY, POSE, FIX = "nav_msgs/msg/Odometry", "geometry_msgs/msg/PoseStamped", "sensor_msgs/msg/NavSatFix"
LINE = "=" * 80


def run(said: Iterable[Said], *, every: int = 1, definition: str = "") -> list[Item]:
    """Everything that a stream of messages gives; items are asked for after every so many messages."""
    streams, ids, found = RosStreams(), dict[tuple[str, str], int](), list[Item]()
    for at, one in enumerate(said):
        key = one.topic, one.type
        if key not in ids:
            ids[key] = len(ids)
            streams.register(ids[key], one.topic, one.type, definition, "ros2msg")
        data = one.message if isinstance(one.message, bytes) else bytes(ROS.store.serialize_cdr(one.message, one.type))
        streams.take(ids[key], one.t_ns, data)
        if at % every == 0:
            found += streams.items(one.t_ns)
    return [*found, *streams.items(None)]


def table(items: list[Item], name: str) -> pa.Table:
    """All rows of a table."""
    return pa.concat_tables([item.rows for item in items if isinstance(item, Rows) and item.table == name])


def said_of(items: list[Item]) -> str:
    """The messages of all findings."""
    return " | ".join(f"{item.severity} {item.gate}: {item.message}" for item in items if isinstance(item, Finding))


def odometry(t_ns: int, x: float, speed: float, *, topic: str = "/odom", frame: str = "map") -> Said:
    """The ego at x on the x axis."""
    twist = ROS.make("geometry_msgs/msg/Twist", linear=ROS.vector(speed, 0, 0))
    message = ROS.make(
        ODOMETRY, header=ROS.header(t_ns, frame), child_frame_id="base_link",
        pose=ROS.make("geometry_msgs/msg/PoseWithCovariance", pose=ROS.pose(x, 0, 0)),
        twist=ROS.make("geometry_msgs/msg/TwistWithCovariance", twist=twist),
    )  # fmt: skip
    return Said(topic, ODOMETRY, t_ns, message)


def straight(seconds: float, *, speed: float = 5.0, told: float | None = None, rate: float = 20.0, t0_ns: int = T0_NS) -> list[Said]:
    """Odometry of a straight drive; `told` is the speed that its twist says."""
    at = [(n / rate, t0_ns + round(n * 1e9 / rate)) for n in range(int(seconds * rate))]
    return [odometry(t_ns, speed * t_s, speed if told is None else told) for t_s, t_ns in at]


def test_windows_do_not_show() -> None:
    """However often items are asked for, the rows are the same; and they come before the drive ends."""
    said = made.drive(ROS, seconds=23.0)
    often, seldom = run(said), run(said, every=1500)
    for name in ("SIGNALS", "TRACKS", "FRAMES"):
        assert table(often, name).equals(table(seldom, name)), name
    assert sum(isinstance(item, Rows) and item.table == "SIGNALS" for item in often) == 3
    assert sum(len(item.t_ns) for item in often if isinstance(item, Beats)) == len(said)
    assert isinstance(often[-1], DriveFacts)


def test_what_is_kept_does_not_grow() -> None:
    streams = RosStreams()
    streams.register(0, "/odom", ODOMETRY, "", "ros2msg")
    most = 0
    for one in straight(200.0):
        streams.take(0, one.t_ns, bytes(ROS.store.serialize_cdr(one.message, one.type)))
        list(streams.items(one.t_ns))
        most = max(most, *(len(series.times) for series in streams._motion._series.values()))
    assert most <= 20 * (10 + 2 + 2) + 2


def test_a_twist_of_zeros_gives_way_to_the_poses() -> None:
    items = run(straight(30.0, told=0.0))
    speed = table(items, "SIGNALS")["speed_mps"].to_numpy()
    assert speed == pytest.approx(np.full(600, 5.0), abs=1e-6)
    assert "speed_mps" in items[-1].derived  # type: ignore[union-attr]
    standing = run(straight(30.0, speed=0.0))
    assert set(table(standing, "SIGNALS")["speed_mps"].to_pylist()) == {0.0}
    assert "speed_mps" not in standing[-1].derived  # type: ignore[union-attr]


def test_poses_alone_give_speed_and_yaw_rate() -> None:
    said = [
        Said("/pose", POSE, t_ns, ROS.make(POSE, header=ROS.header(t_ns, "map"), pose=ROS.pose(*made.place(t_s))))
        for t_s, t_ns in made.steps(20.0, 30.0)
    ]
    signals = table(run(said), "SIGNALS")
    assert signals["speed_mps"].to_numpy()[20:-20] == pytest.approx(made.SPEED_MPS, abs=0.01)
    assert signals["yaw_rate_radps"].to_numpy()[20:-20] == pytest.approx(made.YAW_RATE, abs=1e-4)
    assert signals["ay_mps2"].to_numpy()[20:-20] == pytest.approx(made.SPEED_MPS * made.YAW_RATE, abs=0.01)


def fixes(*, hold: int = 1, status: int = 0) -> list[Said]:
    """GNSS of the made drive at 20 Hz; the receiver computes every `hold`-th position anew and repeats it in between."""
    scale, found = np.degrees(1 / made.WGS84_A_M), []
    for at, (_, t_ns) in enumerate(made.steps(20.0, 24.0)):
        x, y, _ = made.place((at - at % hold) / 20.0)
        lon = made.LON + x * scale / np.cos(np.radians(made.LAT))
        state = ROS.make("sensor_msgs/msg/NavSatStatus", status=status)
        message = ROS.make(FIX, header=ROS.header(t_ns, "gnss"), status=state, latitude=made.LAT + y * scale, longitude=lon)
        found.append(Said("/fix", FIX, t_ns, message))
    return found


@pytest.mark.parametrize("hold", [1, 5])
def test_fixes_alone_give_speed_and_heading(hold: int) -> None:
    items = run(fixes(hold=hold))
    signals = table(items, "SIGNALS")
    fresh = np.flatnonzero(~np.isnan(signals["speed_mps"].to_numpy()))
    assert len(fresh) == 480 // hold, "a repeated fix is no news"
    inner = fresh[8:-8]
    assert signals["speed_mps"].to_numpy()[inner] == pytest.approx(made.SPEED_MPS, rel=0.01)
    wanted = np.array([made.place((at - at % hold) / 20.0)[2] for at in inner])
    assert np.abs(np.angle(np.exp(1j * (signals["heading_rad"].to_numpy()[inner] - wanted)))).max() < 0.02
    assert {"x_m", "y_m", "speed_mps", "heading_rad", "ax_mps2"} == set(items[-1].derived)  # type: ignore[union-attr]


def test_fixes_without_a_fix_are_counted() -> None:
    assert "/fix: 480 messages without a fix" in said_of(run(fixes(status=-1)))


def test_the_topic_with_the_most_messages_leads_and_of_equals_the_first_name() -> None:
    said = straight(10.0)
    other = [odometry(one.t_ns, 0.0, 7.0, topic=topic) for topic in ("/a", "/z") for one in said[::2]]
    items = run(sorted([*said, *other], key=lambda one: one.t_ns))
    assert set(table(items, "SIGNALS")["speed_mps"].to_pylist()) >= {5.0}
    assert 7.0 not in table(items, "SIGNALS")["speed_mps"].to_pylist()
    assert "/odom carries the odometry columns, /z tells them too: they differ by 2 m/s" in said_of(items)
    equal = run(sorted([*said, *(odometry(one.t_ns, 0.0, 7.0, topic="/a") for one in said)], key=lambda one: one.t_ns))
    assert set(table(equal, "SIGNALS")["speed_mps"].to_pylist()) == {7.0}


def transform(t_ns: int, parent: str, child: str, x: float) -> Said:
    """A TFMessage of one link along x."""
    link = made._link(ROS, t_ns, parent, child, (x, 0.0, 0.0), (0.0, 0.0, 0.0, 1.0))
    return Said("/tf", "tf2_msgs/msg/TFMessage", t_ns, ROS.make("tf2_msgs/msg/TFMessage", transforms=[link]))


def test_tf_alone_gives_the_pose() -> None:
    said = [transform(T0_NS, "map", "odom", 100.0)]
    said += [transform(t_ns + 1, "odom", "base_link", 5.0 * t_s) for t_s, t_ns in made.steps(20.0, 20.0)]
    signals = table(run(said), "SIGNALS")
    assert signals["x_m"].to_numpy() == pytest.approx(100 + 5.0 * np.arange(400) / 20)
    assert signals["speed_mps"].to_numpy() == pytest.approx(5.0)


def test_a_circle_of_frames_ends() -> None:
    said = [transform(T0_NS + at, *pair, 1.0) for at, pair in enumerate([("a", "base_link"), ("b", "a"), ("base_link", "b")])]
    assert isinstance(run([*said, *straight(3.0)])[-1], DriveFacts)


def detections(named: bool) -> list[Said]:
    """A pedestrian who stands 30 m ahead of the start while the ego drives at 5 m/s, in the ego's frame."""
    found = []
    for t_s, t_ns in made.steps(10.0, 15.0):
        box = ROS.make("vision_msgs/msg/BoundingBox3D", center=ROS.pose(30.0 - 5.0 * t_s, 2.0, 0.0, 0.9), size=ROS.vector(0.5, 0.5, 1.8))
        guess = ROS.make("vision_msgs/msg/ObjectHypothesis", class_id="pedestrian.adult", score=0.8)
        result = ROS.make("vision_msgs/msg/ObjectHypothesisWithPose", hypothesis=guess)
        seen = ROS.make("vision_msgs/msg/Detection3D", results=[result], bbox=box, id="p1" if named else "")
        message = ROS.make("vision_msgs/msg/Detection3DArray", header=ROS.header(t_ns, "base_link"), detections=[seen])
        found.append(Said("/seen", "vision_msgs/msg/Detection3DArray", t_ns, message))
    return found


def test_detections_get_their_velocity_over_ground() -> None:
    said = sorted([*straight(15.0), *detections(True)], key=lambda one: one.t_ns)
    items = run(said)
    tracks = table(items, "TRACKS")
    assert (len(tracks), tracks["cls"][0].as_py(), tracks["track_id"][0].as_py()) == (150, "pedestrian", "p1")
    assert tracks["vx_mps"].to_numpy() == pytest.approx(0.0, abs=1e-6), "who stands over ground has no velocity, however fast the ego nears"
    assert "TRACKS.vx_mps" in items[-1].derived  # type: ignore[union-attr]
    assert "150 detections do not say which object they are" in said_of(run(detections(False)))


def test_objects_whose_frame_is_unknown_are_counted_not_guessed() -> None:
    lost = [one._replace(message=_in_frame(one.message, "somewhere")) for one in detections(True)]
    items = run(sorted([*straight(15.0), *lost], key=lambda one: one.t_ns))
    assert not any(isinstance(item, Rows) and item.table == "TRACKS" for item in items)
    assert "150 object lists in frame 'somewhere' cannot be placed" in said_of(items)


def _in_frame(message: Any, frame: str) -> Any:
    message.header.frame_id = frame
    return message


def test_simulated_time_counts_from_2000() -> None:
    items = run(straight(5.0, t0_ns=3 * 10**9))
    assert table(items, "SIGNALS")["t_ns"][0].as_py() == T_MIN_NS + 3 * 10**9
    assert items[-1].clock == "relative"  # type: ignore[union-attr]
    assert "warning clock: message times count from the recording's own zero" in said_of(items)


def test_a_clock_that_jumps_back_is_an_error() -> None:
    items = run([*straight(30.0), *straight(5.0)])
    assert "error clock: 100 of 700 messages come more than 2 s after later ones" in said_of(items)
    times = table(items, "SIGNALS")["t_ns"].to_numpy()
    assert (np.diff(times) > 0).all()


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_numbers_that_are_none_are_refused(value: float) -> None:
    said = straight(5.0)
    said[50] = odometry(said[50].t_ns, 0.0, value)
    with pytest.raises(BadData, match=r"/odom: speed_mps is (nan|inf) at"):
        run(said)


HOSTILE: dict[str, str] = {
    "bomb by fixed arrays": "Part[1000000000] parts\n" + LINE + "\nMSG: x/Part\nuint8 a",
    "empty elements": "Part[] parts\n" + LINE + "\nMSG: x/Part\nuint8[0] a",
    "a type within itself": "std_msgs/Header header\nnav_msgs/Odometry inner",
    "other fields": "std_msgs/Header header\nuint8 pose",
    "words for numbers": "std_msgs/Header header\nstring child_frame_id\nstring pose\nstring twist",
    "no grammar": "}{ import os; os.system('true') \n\n ::",
    "names of Python": "uint8 import\nuint8 __class__\nuint8 self",
    "too long": "uint8 a\n" * 100_000,
    "a constant that is code": 'string X="""); import os; os.abort() #\nuint8 a',
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_definitions_end_in_a_reason(name: str) -> None:
    begun = time.monotonic()
    items = run([Said("/odom", ODOMETRY, one.t_ns, bytes(200)) for one in straight(2.0)], definition=HOSTILE[name])
    assert time.monotonic() - begun < 5
    assert not any(isinstance(item, Rows) for item in items)
    assert "/odom" in said_of(items)


def test_a_definition_in_the_log_is_preferred() -> None:
    """An odometry type whose twist comes before its pose is read by its own definition."""
    text = "std_msgs/Header header\nstring child_frame_id\ngeometry_msgs/TwistWithCovariance twist\ngeometry_msgs/PoseWithCovariance pose"
    kind = message_type(ODOMETRY, definition=text, encoding="ros2msg", wanted=True)
    one = odometry(T0_NS, 3.0, 5.0)
    assert kind.stamp(bytes(ROS.store.serialize_cdr(one.message, ODOMETRY))) == T0_NS - made.LATE_NS
    with pytest.raises(BadData, match="not a nav_msgs"):
        kind.decode(bytes(ROS.store.serialize_cdr(one.message, ODOMETRY))[:60])


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_damaged_messages_end_in_items_or_bad_data(data: Any) -> None:
    """Bits flipped anywhere in messages of every type: rows, findings or BadData, never another exception."""
    said = SAID()
    one = data.draw(st.integers(0, len(said) - 1))
    raw = bytearray(ROS.store.serialize_cdr(said[one].message, said[one].type))
    for _ in range(data.draw(st.integers(1, 4))):
        raw[data.draw(st.integers(0, len(raw) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    cut = data.draw(st.sampled_from([len(raw), len(raw) // 2, 5, 0]))
    try:
        run([*said[:one], said[one]._replace(message=bytes(raw[:cut])), *said[one + 1 :]])
    except BadData as err:
        assert str(err)


def _once() -> Callable[[], list[Said]]:
    kept: list[Said] = []

    def said() -> list[Said]:
        if not kept:
            kept.extend(sorted([*made.drive(ROS, seconds=1.0), *detections(True)[:5]], key=lambda one: one.t_ns))
        return kept

    return said


SAID = _once()
