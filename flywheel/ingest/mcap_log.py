"""MCAP logs: what each channel is for, one pass over the messages, and the drive's tables window by window. Log time is the sample time."""

from collections.abc import Generator, Iterator
from dataclasses import dataclass

from flywheel.errors import BadData
from flywheel.ingest.drive import Item, Log, warning
from flywheel.ingest.mcap_ahead import BLOCKS_AHEAD, ITEMS_AHEAD, ahead
from flywheel.ingest.mcap_facts import METADATA
from flywheel.ingest.mcap_media import media
from flywheel.ingest.mcap_names import is_fixed
from flywheel.ingest.mcap_read import MAGIC, Batch, Block, read_mcap
from flywheel.ingest.mcap_roles import Drive, drive_of
from flywheel.ingest.mcap_survey import SLACK_NS, Survey, survey
from flywheel.ingest.quality import T_MIN_NS

__all__ = ["matches", "media", "read"]
WINDOW_NS = 30 * 10**9
# Windows are shorter where more than this waits to be decoded, and a log whose messages lie further apart than this is refused.
WINDOW_BYTES, MAX_WAITING_BYTES = 1 << 26, 1 << 29


def matches(log: Log) -> bool:
    """Whether the log is one file that begins as MCAP does."""
    return log.is_file and log.head(size=len(MAGIC)) == MAGIC


def read(log: Log) -> Iterator[Item]:
    """The drive of an MCAP log; BadData names the topic and time of what is wrong."""
    found = survey(log, fixed=is_fixed)
    # Times that are no wall clock's: seconds of a simulation, or since boot.
    relative = found.t1_ns < T_MIN_NS and METADATA not in found.metadata
    shift_ns = T_MIN_NS if relative else 0
    drive = drive_of(found.shifted(shift_ns), relative=relative)
    yield from ahead(_items(log, drive, shift_ns), depth=ITEMS_AHEAD)
    yield from drive.facts()
    if relative:
        text = "times count from the recording's own zero: they are set to begin from 2000-01-01T00:00Z, spacing is kept"
        yield warning("clock", text)


@dataclass
class Windows:
    """When enough has been read to let a window of the drive go."""

    survey: Survey
    cut_ns: int
    blocks: int = 0
    waiting_bytes: int = 0

    def take(self, block: Block, *, waiting_bytes: int) -> int | None:
        """The time up to which everything has been read, if it is time to cut there. waiting_bytes: what of the block waits for that."""
        self.waiting_bytes += waiting_bytes
        self.blocks += block.is_chunk or not self.survey.indexed
        until = self.survey.complete(self.blocks)
        if until is None or not (until >= self.cut_ns + WINDOW_NS or (self.waiting_bytes > WINDOW_BYTES and until > self.cut_ns)):
            self._check_waiting()
            return None
        self.cut_ns, self.waiting_bytes = until, 0
        return until

    def _check_waiting(self) -> None:
        if self.waiting_bytes > MAX_WAITING_BYTES:
            raise BadData(
                f"more than {MAX_WAITING_BYTES >> 20} MB of messages lie between a message and later ones that were recorded before it: "
                "write the file anew in the order of time (`mcap sort`), then land it again"
            )

    def check(self, batch: Batch) -> None:
        """BadData if a message is older than the index said any could be."""
        if int(batch.t_ns.min()) < self.cut_ns:
            raise BadData(f"{batch.channel.topic}: a message of {batch.t_ns.min()} ns comes later in the file than its index allows")


def _items(log: Log, drive: Drive, shift_ns: int) -> Generator[Item, None, None]:
    windows = Windows(drive.survey, cut_ns=drive.survey.t0_ns - SLACK_NS)
    with log.stream() as stream:
        for piece in ahead(read_mcap(stream, size=log.file("").bytes), depth=BLOCKS_AHEAD):
            if not isinstance(piece, Block):
                drive.metadata.append(piece)
                continue
            for batch in piece.batches:
                moved = batch._replace(t_ns=batch.t_ns + shift_ns)
                windows.check(moved)
                yield from drive.take(moved)
            until = windows.take(piece, waiting_bytes=sum(drive.waiting_bytes(batch) for batch in piece.batches))
            if until is not None:
                yield from drive.cut(until)
    yield from drive.cut(None)
