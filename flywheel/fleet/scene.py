"""What a camera could see at one instant, as plain records: the same scene can be drawn under any condition.

World frame: x east, y north, z up, metres; headings in radians counter-clockwise from +x.
"""

from typing import Literal

from pydantic import Field

from flywheel.types import Record

Point = tuple[float, float]
ActorClass = Literal["car", "truck", "bus", "pedestrian", "cyclist", "other"]
LightState = Literal["red", "yellow", "green"]


class Strip(Record):
    """A flat band along a polyline."""

    line: tuple[Point, ...]
    width_m: float


class Marking(Record):
    """Paint on the road: along a polyline."""

    line: tuple[Point, ...]
    width_m: float = 0.15
    dashed: bool = False


class Area(Record):
    """A flat polygon."""

    outline: tuple[Point, ...]


class Block(Record):
    """A building: a box on the ground, turned by its heading."""

    x_m: float
    y_m: float
    heading_rad: float
    length_m: float
    width_m: float
    height_m: float
    seed: int


class Post(Record):
    """A tree or a street lamp: a thing on a stem."""

    kind: Literal["tree", "lamp"]
    x_m: float
    y_m: float
    height_m: float
    seed: int


class Signal(Record):
    """A traffic light head; it faces traffic that drives with heading `facing_rad`."""

    light_id: str
    x_m: float
    y_m: float
    z_m: float
    facing_rad: float


class World(Record):
    """The still part of a place; one for all frames of a drive."""

    lanes: tuple[Strip, ...] = ()
    sidewalks: tuple[Strip, ...] = ()
    junctions: tuple[Area, ...] = ()
    crosswalks: tuple[Area, ...] = ()
    markings: tuple[Marking, ...] = ()
    blocks: tuple[Block, ...] = ()
    posts: tuple[Post, ...] = ()
    signals: tuple[Signal, ...] = ()


class Actor(Record):
    """A road user at one instant: its box's centre on the ground, over-ground speed along its heading."""

    actor_id: str
    cls: ActorClass
    x_m: float
    y_m: float
    heading_rad: float
    length_m: float
    width_m: float
    height_m: float
    speed_mps: float
    braking: bool = False
    seed: int = 0
    subclass: str | None = None
    flashing: bool = False


class Instant(Record):
    """The moving part at one time; the ego's pose is that of its rear axle's centre on the ground."""

    t_ns: int
    ego_x_m: float
    ego_y_m: float
    ego_heading_rad: float
    ego_speed_mps: float
    actors: tuple[Actor, ...] = ()
    lights: dict[str, LightState] = Field(default_factory=dict)


class Camera(Record):
    """A forward pinhole camera; place in the ego frame, pitch positive downwards."""

    name: str = "front"
    width_px: int = 320
    height_px: int = 180
    fx_px: float = 260.0
    fy_px: float = 260.0
    cx_px: float = 160.0
    cy_px: float = 90.0
    x_m: float = 1.6
    z_m: float = 1.5
    pitch_rad: float = 0.03
