"""Review by people in FiftyOne: tables in, a grouped dataset out, and tags set in the App back as decisions.

The only library file that imports fiftyone, and only inside functions. Its database, plug-ins and cached media
lie under a state folder of the caller's choice; everything listens on 127.0.0.1.
"""

import argparse
import contextlib
import os
import shutil
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tqdm import tqdm

from flywheel.curate.decisions import decide_all
from flywheel.curate.review_dataset import BESIDE, QUEUE, flat, open_dataset, run_brain, save_views, set_appearance, sync_samples
from flywheel.curate.review_samples import ORIGINAL, ReviewSample, review_samples
from flywheel.errors import BadData, FlywheelError, require
from flywheel.store import DiskStore, Store, media_key, open_store
from flywheel.tables import read_table
from flywheel.types import Record, digest_of
from flywheel.verdicts import ACCEPT, PERSON, REJECT, current

NAME = "flywheel-review"
LAYOUT = "1"
LARGEST = 400_000


class ReviewReport(Record):
    """What a sync found and did; `rebuilt` is False if nothing had changed since the last one."""

    dataset: str
    inputs_digest: str
    groups: int
    originals: int
    variations: int
    needs_review: int
    accepted: int
    rejected: int
    rebuilt: bool
    added: int = 0
    updated: int = 0
    removed: int = 0
    missing_media: int = 0
    brain: bool = False
    views: tuple[str, ...] = ()


class PullReport(Record):
    """Decisions a person made in the App; `conflicts` carry both tags and stay as they are."""

    actor: str
    accepted: int
    rejected: int
    repeated: int
    conflicts: tuple[str, ...] = ()


def fiftyone_module(state: Path) -> Any:
    """The module fiftyone, with its files under `state`; FIFTYONE_DATABASE_URI, where set, names the database instead.

    FlywheelError if this process already runs FiftyOne on another folder.
    """
    state = state.expanduser().resolve()
    wanted = {
        "FIFTYONE_DATABASE_DIR": str(state / "mongo"), "FIFTYONE_PLUGINS_DIR": str(state / "plugins"),
        "FIFTYONE_DEFAULT_DATASET_DIR": str(state / "datasets"), "FIFTYONE_DATASET_ZOO_DIR": str(state / "zoo"),
        "FIFTYONE_MODEL_ZOO_DIR": str(state / "models"), "FIFTYONE_DATABASE_VALIDATION": "false",
        "FIFTYONE_DO_NOT_TRACK": "true", "FIFTYONE_DEFAULT_APP_ADDRESS": "127.0.0.1",
    }  # fmt: skip
    before = sys.modules.get("fiftyone")
    if before is not None and "FIFTYONE_DATABASE_URI" not in os.environ and before.config.database_dir != wanted["FIFTYONE_DATABASE_DIR"]:
        raise FlywheelError(f"FiftyOne already runs here on {before.config.database_dir}; review {state} in a process of its own.")
    os.environ.update(wanted)
    os.environ.setdefault("FIFTYONE_LOGGING_DESTINATION", "stderr")
    os.environ.setdefault("FIFTYONE_LOGGING_LEVEL", "WARNING")
    os.environ.setdefault("FIFTYONE_SHOW_PROGRESS_BARS", "false")
    _install_plugin(state / "plugins")
    return require("fiftyone", extra="curate")


def _install_plugin(plugins: Path) -> None:
    source = Path(__file__).with_name("plugin")
    if source.is_dir():
        shutil.copytree(source, plugins / "flywheel", dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__"))


def sync_review(store: Store, *, state: Path, name: str = NAME, batch_id: str | None = None) -> ReviewReport:
    """What the review dataset holds, after it was brought up to date with the tables of one batch or of all.

    Groups are an event's parent frame; slices are `original` and one a target condition. Nothing is touched if
    the inputs are those of the last finished sync. BadData above 400,000 images: review batch by batch then.
    """
    samples = review_samples(store, batch_id=batch_id)
    if len(samples) > LARGEST:
        raise BadData(f"{len(samples)} images are too many for one FiftyOne dataset ({LARGEST}). Review one batch at a time.")
    fo = fiftyone_module(state)
    digest = digest_of([LAYOUT, store.uri, [sample.digest for sample in samples]])
    dataset = open_dataset(fo, name)
    if dataset.info.get("digest") == digest:
        return _report(dataset, samples, digest=digest, rebuilt=False)
    files = local_media(store, samples, cache=state / "media")
    missing = [sample for sample in samples if sample.media_sha256 not in files]
    samples = [sample for sample in samples if sample.media_sha256 in files]
    added, updated, removed = sync_samples(fo, dataset, samples, files)
    run_brain(require("fiftyone.brain", extra="curate"), dataset, samples)
    save_views(fo, dataset)
    set_appearance(fo, dataset)
    dataset.info.update(
        {"digest": "" if missing else digest, "root": store.uri, "state": str(state.expanduser().resolve()), "batch_id": batch_id}
    )
    dataset.save()
    report = _report(dataset, samples, digest=digest, rebuilt=True)
    return report.model_copy(update={"added": added, "updated": updated, "removed": removed, "missing_media": len(missing)})


def _report(dataset: Any, samples: Sequence[ReviewSample], *, digest: str, rebuilt: bool) -> ReviewReport:
    variations = [sample for sample in samples if sample.slice != ORIGINAL]
    tagged = {tag: sum(tag in sample.tags for sample in variations) for tag in ("needs_review", "accepted", "rejected")}
    return ReviewReport(
        dataset=dataset.name, inputs_digest=digest, groups=len({sample.group for sample in samples}), rebuilt=rebuilt,
        originals=len(samples) - len(variations), variations=len(variations),
        brain="similarity" in dataset.list_brain_runs(), views=tuple(sorted(dataset.list_saved_views())), **tagged,
    )  # fmt: skip


def local_media(store: Store, samples: Sequence[ReviewSample], *, cache: Path) -> dict[str, Path]:
    """A lasting local file for each image by its SHA-256: the object itself on disk, else a copy under `cache`.

    Images the store does not hold are left out.
    """
    here = store if isinstance(store, DiskStore) else DiskStore(cache)
    found: dict[str, Path] = {}
    for sha256, ext in tqdm(sorted({(sample.media_sha256, sample.ext) for sample in samples}), desc="find images", disable=None):
        key = media_key(sha256, ext)
        with contextlib.suppress(KeyError):
            if here is not store and not here.exists(key):
                here.put(key, store.get(key))
            with here.path(key) as file:
                found[sha256] = file
    return found


def pull_review(store: Store, *, state: Path, actor: str, name: str = NAME, reason: str = "judged by eye in review") -> PullReport:
    """What a person's tags `accept` and `reject` came to: decisions in that person's name, and the tags replaced.

    Decisions are written first, so a run cut short is finished by the next without a second decision.
    """
    fo = fiftyone_module(state)
    if not fo.dataset_exists(name):
        raise BadData(f"no review dataset {name!r} under {state}. Run `flywheel review` first.")
    dataset = fo.load_dataset(name)
    view = flat(dataset, originals=False).match_tags([ACCEPT, REJECT])
    found = dict(zip(*view.values(["variation_id", "tags"]), strict=True))
    conflicts = sorted(key for key, tags in found.items() if {ACCEPT, REJECT} <= set(tags))
    wanted = {key: ACCEPT if ACCEPT in tags else REJECT for key, tags in found.items() if key not in conflicts}
    held = current(read_table(store, "DECISIONS"), actor_kind=PERSON)
    new = {key: verdict for key, verdict in wanted.items() if not _said(held.get(key), verdict, actor)}
    decide_all(store, [(key, verdict, reason) for key, verdict in sorted(new.items())], actor=actor)
    if wanted:
        view.select_by("variation_id", list(wanted)).untag_samples([ACCEPT, REJECT])
        sync_review(store, state=state, name=name, batch_id=dataset.info["batch_id"])
    counts = {verdict: list(new.values()).count(verdict) for verdict in (ACCEPT, REJECT)}
    return PullReport(
        actor=actor, accepted=counts[ACCEPT], rejected=counts[REJECT], repeated=len(wanted) - len(new), conflicts=tuple(conflicts)
    )  # fmt: skip


def _said(row: Any, verdict: str, actor: str) -> bool:
    return row is not None and (row["verdict"], row["actor"]) == (verdict, actor)


def judge_selected(dataset: Any, sample_ids: Sequence[str], verdict: str, *, actor: str, reason: str) -> list[str]:
    """Ids of a person's decisions on the variations among these FiftyOne samples; the dataset then shows them."""
    chosen = flat(dataset, originals=False).select(list(sample_ids)).values("variation_id")
    store = open_store(dataset.info["root"])
    ids = decide_all(store, [(name, verdict, reason) for name in sorted(chosen)], actor=actor)
    sync_review(store, state=Path(dataset.info["state"]), name=dataset.name, batch_id=dataset.info["batch_id"])
    return ids


def launch_review(
    store: Store, *, state: Path, port: int = 5151, remote: bool = True, name: str = NAME, actor: str | None = None
) -> PullReport | None:
    """Opens the App on 127.0.0.1 and blocks until Ctrl-C; then, if an actor is named, what that person's tags came to."""
    sync_review(store, state=state, name=name)
    session = _open_app(fiftyone_module(state), name, state=state, port=port, remote=remote)
    with contextlib.suppress(KeyboardInterrupt):
        session.wait(-1)
    report = pull_review(store, state=state, actor=actor, name=name) if actor else None
    session.close()
    return report


def _open_app(fo: Any, name: str, *, state: Path, port: int, remote: bool, tries: int = 3) -> Any:
    """The session, once its server answers. FiftyOne gives the server 60 s, which a loaded machine can overrun while
    compiling its modules; compiled ones are kept under `state`, so that another try starts further on."""
    if os.environ.pop("PYTHONDONTWRITEBYTECODE", None):
        os.environ.setdefault("PYTHONPYCACHEPREFIX", str(state.expanduser().resolve() / "pycache"))
    dataset, late = fo.load_dataset(name), None
    wanted = {"view": _first_view(dataset), "color_scheme": dataset.app_config.color_scheme}
    for _ in range(tries):
        try:
            return fo.launch_app(address="127.0.0.1", port=port, remote=remote, **wanted)
        except fo.core.service.ServiceListenTimeout as err:
            late = err
    raise FlywheelError(f"FiftyOne's server did not answer on 127.0.0.1:{port} in {tries} tries. Is the port taken? ({late})")


def _first_view(dataset: Any) -> Any:
    """The review queue, or originals beside their variations where the queue is empty."""
    queue = dataset.load_saved_view(QUEUE)
    return queue if len(queue) else dataset.load_saved_view(BESIDE)


def main() -> None:
    """`python -m flywheel.curate.review --root R --state S [--port P] [--actor NAME]`; ends on SIGINT and SIGTERM alike."""
    parser = argparse.ArgumentParser(prog="python -m flywheel.curate.review", description="Review variations in FiftyOne.")
    parser.add_argument("--root", required=True)
    parser.add_argument("--state", required=True, type=Path)
    parser.add_argument("--port", type=int, default=5151)
    parser.add_argument("--actor")
    wanted = parser.parse_args()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    launch_review(open_store(wanted.root), state=wanted.state, port=wanted.port, actor=wanted.actor)


if __name__ == "__main__":
    main()
