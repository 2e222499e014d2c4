"""What a topic is for, told from its schema and its name: cameras and their kinds of picture."""

import re
from collections.abc import Iterable

from flywheel.ingest.mcap_proto import foxglove_name
from flywheel.ingest.mcap_read import Channel

PICTURES = ("CompressedImage", "CompressedVideo")
CALIBRATION = "CameraCalibration"
POSES = ("FrameTransform", "FrameTransforms", "PoseInFrame")
# Words of a topic that say what it carries, not which camera it is.
PLAIN = re.compile(
    "camera cameras cam image images image_raw image_color image_rect image_rect_color image_rect_compressed image_raw_compressed raw rect "
    "rectified compressed rgb color colour video h264 h265 hevc avc jpeg jpg png sensors sensor depth segmentation semantic "
    "semantic_segmentation instance_segmentation labels calibration camera_info info calib".replace(" ", "|")
)
KINDS = {"depth": re.compile(r"depth"), "segmentation": re.compile(r"segment|semantic|label")}


def camera_of(topic: str) -> str:
    """The camera a topic belongs to: `front` of /camera/front/depth, `CAM_FRONT` of /CAM_FRONT/image_rect_compressed."""
    words = [word for word in topic.strip("/").split("/") if not PLAIN.fullmatch(word.lower())]
    return re.sub(r"[^A-Za-z0-9_\-]", "_", "_".join(words))[:60] or "camera"


def kind_of(topic: str) -> str:
    """`depth`, `segmentation` or `rgb`."""
    return next((kind for kind, pattern in KINDS.items() if pattern.search(topic.lower())), "rgb")


def picture_topics(channels: Iterable[Channel]) -> dict[str, tuple[str, str]]:
    """Topic -> (camera, kind) of every topic with pictures; topics that would share both keep their whole name as the camera's."""
    found: dict[str, tuple[str, str]] = {}
    for topic in sorted({channel.topic for channel in channels if foxglove_name(channel) in PICTURES}):
        named = camera_of(topic), kind_of(topic)
        whole = re.sub(r"[^A-Za-z0-9_\-]", "_", topic.strip("/"))[:60] or "camera"
        found[topic] = named if named not in found.values() else (whole, named[1])
    return found


def is_fixed(channel: Channel) -> bool:
    """Whether a channel tells what hardly changes: a calibration, or where sensors are mounted."""
    return foxglove_name(channel) in (CALIBRATION, *POSES)
