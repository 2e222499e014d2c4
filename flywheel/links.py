"""One link from anything made of a frame back to its drive, the frame and the event it shows."""

from typing import Any, NamedTuple

from flywheel.errors import BadData


class Origin(NamedTuple):
    """Where a picture comes from: a drive, one frame of it, and the event it shows (empty for none)."""

    drive_id: str
    camera: str
    t_ns: int
    event_id: str


def link_to(*, drive_id: str, camera: str, t_ns: int, event_id: str, **_: Any) -> str:
    """`flywheel:DRIVE/CAMERA/T_NS#EVENT`; other fields of a row are ignored."""
    return f"flywheel:{drive_id}/{camera}/{t_ns}" + (f"#{event_id}" if event_id else "")


def follow(link: str) -> Origin:
    """What a link leads to; BadData for any other text."""
    place, _, event_id = link.removeprefix("flywheel:").partition("#")
    drive_id, _, frame = place.partition("/")
    camera, _, t_ns = frame.rpartition("/")
    if not link.startswith("flywheel:") or not camera or not t_ns.lstrip("-").isdigit():
        raise BadData(f"{link!r} is no link to a frame: it should read flywheel:DRIVE/CAMERA/T_NS#EVENT")
    return Origin(drive_id, camera, int(t_ns), event_id)
