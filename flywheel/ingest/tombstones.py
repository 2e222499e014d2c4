"""What is left of a recording that was removed on request: that something was, and when. Enough to refuse it, not to find it.

A tombstone is named by an HMAC of the recording's content hash under a random salt of this root. Whoever knows the ids and hashes of old
reports or datasets, but cannot read the root, learns nothing from its name, and two roots name the same recording differently. Whoever can
read the root can ask of a recording they hold whether it was removed: that is what refusing it means. The content hash is that of the
bytes; the same road filmed again, or the same log packed otherwise, is another recording. Vehicles leave no mark: their names are too few.
"""

import hmac
import secrets
from datetime import UTC, datetime
from functools import cached_property

from flywheel.errors import BadData
from flywheel.store import Store
from flywheel.types import canonical_json

FOLDER = "tombstones/"
SALT = f"{FOLDER}salt"


def tombstone_key(mark: str) -> str:
    """Where a tombstone lies."""
    return f"{FOLDER}{mark}.json"


class Tombstones:
    """The marks of a root, listed once."""

    def __init__(self, store: Store) -> None:
        self.store = store

    @cached_property
    def marks(self) -> frozenset[str]:
        """Every mark there is."""
        return frozenset(key.removeprefix(FOLDER).removesuffix(".json") for key in self.store.list(FOLDER) if key.endswith(".json"))

    @cached_property
    def _salt(self) -> bytes:
        self.store.put_if_absent(SALT, secrets.token_hex(32).encode())
        return self.store.get(SALT)

    def mark(self, source_sha256: str, part: str = "") -> str:
        """The mark of a recording, or of one part of it."""
        return hmac.new(self._salt, canonical_json([source_sha256, part]), "sha256").hexdigest()

    def holds(self, source_sha256: str, part: str = "") -> bool:
        """Whether the recording was removed from this root (a root that never removed one is not written to)."""
        return bool(self.marks) and self.mark(source_sha256, part) in self.marks

    def refuse(self, source_sha256: str, part: str = "", *, drive_id: str) -> None:
        """BadData if the recording was removed from this root."""
        if self.holds(source_sha256, part):
            raise BadData(
                "this recording was removed from this root on request and may not come back: "
                f"`flywheel forget --drive {drive_id} --yes` takes its landed bytes away again"
            )

    def put(self, mark: str) -> None:
        """Leaves a tombstone: the day and second of the removal, nothing else."""
        removed = datetime.now(UTC).replace(microsecond=0).isoformat()
        self.store.put_if_absent(tombstone_key(mark), canonical_json({"removed": removed}))
