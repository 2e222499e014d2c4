"""The log formats: one Protocol, one tuple. A new format is one file with a few functions and one line here."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from flywheel.errors import BadData
from flywheel.ingest import (
    av2_forecast,
    av2_sensor,
    can_log,
    comma2k19,
    commonroad,
    csv_log,
    dgp,
    mcap_log,
    multiview,
    pandaset,
    physicalai,
    rosbag1,
    rosbag2,
    scenarionet,
    video_file,
)
from flywheel.ingest.drive import Blob, Item, Log
from flywheel.ingest.images import JPEG_MAGIC, PNG_MAGIC


def no_media(log: Log) -> Iterator[Blob]:
    """The media of a format without cameras."""
    return iter(())


def one_drive(log: Log) -> dict[str, frozenset[str]]:
    """The parts of a log that is one drive: the whole of it, without a name."""
    return {"": frozenset(log.paths)}


@dataclass(frozen=True)
class Format:
    """How one kind of log is found and read. It is recognised by what the log holds, never by its name.

    matches(log): whether the log is of this format, from its paths and first bytes.
    read(log): the items of one drive in rising time, exactly one DriveFacts among them; BadData says what is wrong and where.
    media(log): every media object that the drive's FRAMES name, read anew (only called where some are lacking in the store).
    parts(log): part name -> its paths, for a folder that holds several drives.
    root: what paths of a folder log look like; its group `root` is the folder that is one log (a format of single files has none).
    """

    name: str
    matches: Callable[[Log], bool]
    read: Callable[[Log], Iterator[Item]]
    media: Callable[[Log], Iterator[Blob]] = no_media
    parts: Callable[[Log], dict[str, frozenset[str]]] = one_drive
    root: re.Pattern[str] | None = None


FORMATS: tuple[Format, ...] = (
    Format("mcap", mcap_log.matches, mcap_log.read, mcap_log.media),
    Format("pandaset", pandaset.matches, pandaset.read, pandaset.media, root=pandaset.ROOT),
    Format("av2_sensor", av2_sensor.matches, av2_sensor.read, av2_sensor.media, root=av2_sensor.ROOT),
    Format("av2_forecast", av2_forecast.matches, av2_forecast.read, root=av2_forecast.ROOT),
    Format("scenarionet", scenarionet.matches, scenarionet.read),
    Format("commonroad", commonroad.matches, commonroad.read),
    Format("comma2k19", comma2k19.matches, comma2k19.read, comma2k19.media, root=comma2k19.ROOT),
    Format("multiview", multiview.matches, multiview.read, multiview.media, multiview.parts, root=multiview.ROOT),
    Format("dgp", dgp.matches, dgp.read, dgp.media, root=dgp.ROOT),
    Format("video", video_file.matches, video_file.read, video_file.media),
    Format("rosbag1", rosbag1.matches, rosbag1.read, rosbag1.media),
    Format("rosbag2", rosbag2.matches, rosbag2.read, rosbag2.media, root=rosbag2.ROOT),
    Format("physicalai", physicalai.matches, physicalai.read, physicalai.media, physicalai.parts, root=physicalai.ROOT),
    Format("can", can_log.matches, can_log.read),
    Format("csv", csv_log.matches, csv_log.read),
)


def detect(log: Log) -> Format:
    """The format of a log, or BadData naming the formats there are."""
    for candidate in FORMATS:
        if candidate.matches(log):
            return candidate
    if log.is_file:
        with log.local():  # a file that has changed since it landed is reported as that
            pass
    if log.is_file and log.head(size=8).startswith((JPEG_MAGIC, PNG_MAGIC)):
        raise BadData(f"{log.name}: one picture is no drive: it has no time and no neighbours. Land the recording that it belongs to")
    known = ", ".join(f.name for f in FORMATS)
    raise BadData(f"{log.name}: no known log format ({known}) by its content; it stays in landing until a reader for it is added")
