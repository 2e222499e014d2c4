"""The media of an MCAP, read anew: images and video segments byte for byte as they were hashed when the drive was read."""

from collections.abc import Iterator

from flywheel.errors import BadData
from flywheel.ingest.drive import Blob, Log
from flywheel.ingest.images import image_info
from flywheel.ingest.mcap_ahead import BLOCKS_AHEAD, ahead
from flywheel.ingest.mcap_frames import Video
from flywheel.ingest.mcap_names import PICTURES
from flywheel.ingest.mcap_proto import foxglove_name, payloads_of, proto
from flywheel.ingest.mcap_read import Batch, Block, Channel, read_mcap
from flywheel.ingest.mcap_ros import is_ros, ros_blobs, streams_of
from flywheel.ingest.ros_vocab import RosStreams
from flywheel.types import sha256_hex


def media(log: Log) -> Iterator[Blob]:
    """The log's readable images and video segments."""
    videos: dict[str, Video] = {}
    ros: dict[int, RosStreams] = {}
    with log.stream() as stream:
        for block in ahead(read_mcap(stream, size=log.file("").bytes, wanted=_has_pictures, checked=True), depth=BLOCKS_AHEAD):
            for batch in block.batches if isinstance(block, Block) else ():
                if is_ros(batch.channel):
                    yield from ros_blobs(ros.setdefault(batch.channel.id, streams_of([batch.channel], {})), batch)
                else:
                    yield from _blobs(batch, videos)
    for video in videos.values():
        yield from (Blob(s.sha256, s.ext, s.data) for s in video.close())


def _has_pictures(channel: Channel) -> bool:
    return foxglove_name(channel) in PICTURES or is_ros(channel)


def _blobs(batch: Batch, videos: dict[str, Video]) -> Iterator[Blob]:
    name, topic = foxglove_name(batch.channel) or "", batch.channel.topic
    for t_ns, data in zip(batch.t_ns.tolist(), payloads_of(batch, name), strict=True):
        message = proto(topic, t_ns, name, data)
        if name == "CompressedVideo":
            yield from (Blob(s.sha256, s.ext, s.data) for s in videos.setdefault(topic, Video(topic)).take(t_ns, message))
        elif (ext := _extension(message.data)) is not None:
            yield Blob(sha256_hex(message.data), ext, message.data)


def _extension(data: bytes) -> str | None:
    """The image's kind; None for those that were left out with a finding."""
    try:
        return image_info(data).ext
    except BadData:
        return None
