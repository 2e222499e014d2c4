"""How review samples lie in a FiftyOne dataset: fields, groups, boxes, saved views and brain runs.

The `fo` and `fob` arguments are the modules fiftyone and fiftyone.brain, which only review.py imports.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from flywheel.curate.review_samples import ORIGINAL, ReviewSample
from flywheel.types import digest_of
from flywheel.verdicts import ACCEPT, REJECT

TEXTS = (
    "key", "scenario", "condition", "level", "verdict", "reason", "gate", "decided_by", "event_id", "drive_id", "camera", "batch_id",
    "variation_id", "generator", "model_revision", "weights_sha256", "prompt", "parameters", "media_sha256", "parent_sha256", "link",
)  # fmt: skip
REALS = ("score_integrity", "score_structure", "score_condition", "score_change", "margin")
WHOLES = ("t_ns", "seed")
DIGEST = "record_digest"
RULE_TAGS = {ORIGINAL, "accepted", "rejected", "needs_review"}
SIDEBAR = {
    "decision": ("verdict", "gate", "reason", "decided_by", "margin"),
    "labels": ("boxes",),
    "scene": ("scenario", "condition", "level", "event_id", "drive_id", "camera", "t_ns", "batch_id"),
    "scores": ("score_integrity", "score_structure", "score_condition", "score_change", "uniqueness"),
    "provenance": (
        "link", "generator", "model_revision", "weights_sha256", "prompt", "parameters", "seed", "variation_id", "media_sha256",
        "parent_sha256",
    ),
}  # fmt: skip
SHOWN = ("tags", "boxes", "scenario", "condition", "verdict", "reason")
COLOURS = {
    "verdict": {"accept": "#2e9e5b", "reject": "#c8453b", "undecided": "#c78a1b"},
    "boxes": {"car": "#3fa7ff", "truck": "#b07cff", "bus": "#7c8cff", "pedestrian": "#ff9f1c", "cyclist": "#ffd23f", "other": "#b0b0b0"},
}
POOL = ("#4f6b84", "#7a5c86", "#4d7d72", "#8a6a3f", "#86525c", "#5f6f45")
BRAIN_LEAST = 5
QUEUE, BESIDE = "review queue", "side by side"


def open_dataset(fo: Any, name: str) -> Any:
    """The persistent grouped dataset of that name with every field declared, made or completed where needed."""
    dataset = fo.load_dataset(name) if fo.dataset_exists(name) else fo.Dataset(name, persistent=True)
    if dataset.group_field is None:
        dataset.add_group_field("group", default=ORIGINAL)
    kinds = dict.fromkeys(TEXTS, fo.StringField) | dict.fromkeys(REALS, fo.FloatField) | dict.fromkeys(WHOLES, fo.IntField)
    wanted = {name: {"ftype": kind} for name, kind in kinds.items()} | {
        DIGEST: {"ftype": fo.StringField},
        "embedding": {"ftype": fo.VectorField},
        "boxes": {"ftype": fo.EmbeddedDocumentField, "embedded_doc_type": fo.Detections},
    }
    for field in wanted.keys() - dataset.get_field_schema().keys():
        dataset.add_sample_field(field, **wanted[field])
    return dataset


def flat(dataset: Any, *, originals: bool = True) -> Any:
    """All samples as one flat view, with or without the originals."""
    slices = [name for name in dataset.group_slices if originals or name != ORIGINAL]
    return dataset.select_group_slices(slices) if slices else dataset.limit(0)


def sync_samples(fo: Any, dataset: Any, samples: Sequence[ReviewSample], files: Mapping[str, Path]) -> tuple[int, int, int]:
    """(added, updated, removed) samples, so that the dataset holds exactly these; tags set by people stay."""
    wanted = {sample.key: sample for sample in samples}
    view = flat(dataset)
    keys, ids, digests = view.values(["key", "id", DIGEST])
    stale = [sample_id for key, sample_id in zip(keys, ids, strict=True) if key not in wanted]
    dataset.delete_samples(stale)
    changed = [key for key, digest in zip(keys, digests, strict=True) if key in wanted and _digest(wanted[key], files) != digest]
    if changed:
        for sample in flat(dataset).select_by("key", changed).iter_samples(autosave=True):
            fill(fo, sample, wanted[sample["key"]], files)
    new = [wanted[key] for key in wanted.keys() - set(keys)]
    _add(fo, dataset, sorted(new, key=lambda sample: (sample.group, sample.slice != ORIGINAL, sample.key)), files)
    return len(new), len(changed), len(stale)


def _add(fo: Any, dataset: Any, samples: Sequence[ReviewSample], files: Mapping[str, Path]) -> None:
    taken = set(zip(*flat(dataset).values(["group.id", "group.name"]), strict=True))
    made = []
    for sample in samples:
        name = free_slice(taken, sample.group, sample.slice)
        made.append(fo.Sample(filepath=str(files[sample.media_sha256]), group=fo.Group(id=sample.group, name=name)))
        fill(fo, made[-1], sample, files)
    if made:
        dataset.add_samples(made, progress=False)


def free_slice(taken: set[tuple[str, str]], group: str, target: str) -> str:
    """The target's name, numbered from the second image of one group on; marks it as taken."""
    count = 1
    while (group, name := target if count == 1 else f"{target}_{count}") in taken:
        count += 1
    taken.add((group, name))
    return name


def _digest(sample: ReviewSample, files: Mapping[str, Path]) -> str:
    return digest_of([sample.digest, str(files[sample.media_sha256])])


def fill(fo: Any, sample: Any, record: ReviewSample, files: Mapping[str, Path]) -> None:
    """Writes a record into a FiftyOne sample; tags that people set are kept."""
    for field in TEXTS + REALS + WHOLES:
        sample[field] = getattr(record, field)
    sample["filepath"] = str(files[record.media_sha256])
    sample["tags"] = [*record.tags, *sorted(set(sample["tags"] or ()) - RULE_TAGS)]
    sample["embedding"] = list(record.embedding) if record.embedding else None
    sample["boxes"] = _detections(fo, record)
    sample[DIGEST] = _digest(record, files)


def _detections(fo: Any, record: ReviewSample) -> Any:
    """The boxes as shares of the image, or None where nothing is known."""
    if record.boxes is None or not record.width_px or not record.height_px:
        return None
    wide, high = record.width_px, record.height_px
    return fo.Detections(
        detections=[
            fo.Detection(
                label=box.cls, track_id=box.track_id, distance_m=round(box.distance_m, 2),
                bounding_box=[box.x0_px / wide, box.y0_px / high, (box.x1_px - box.x0_px) / wide, (box.y1_px - box.y0_px) / high],
            )
            for box in record.boxes
        ]
    )  # fmt: skip


def save_views(fo: Any, dataset: Any) -> list[str]:
    """Names of the saved views, now up to date with the group slices there are."""
    variations, verdict = flat(dataset, originals=False), fo.ViewField("verdict")
    views = {
        QUEUE: (variations.match_tags("needs_review").sort_by("margin"), "undecided, or a narrow decision by a rule"),
        BESIDE: (flat(dataset).sort_by([("group.id", 1), ("group.name", -1)]), "each original, then its variations"),
        "accepted": (variations.match(verdict == ACCEPT), "may enter a dataset"),
        "rejected": (variations.match(verdict == REJECT), "may not; see gate and reason"),
        "by scenario": (flat(dataset).group_by("scenario"), "one tile a scenario, originals and variations"),
    }
    for name, (view, text) in views.items():
        dataset.save_view(name, view, description=text, overwrite=True)
    return list(views)


def set_appearance(fo: Any, dataset: Any) -> None:
    """Sidebar groups, the fields drawn on each tile, and one colour a class and verdict."""
    known = set(dataset.get_field_schema()) | {"tags"}
    config = dataset.app_config
    other = [name for name in known if name not in {"tags", *(path for paths in SIDEBAR.values() for path in paths)}]
    groups = {"tags": (), **SIDEBAR, "other": sorted(other)}
    config.sidebar_groups = [
        fo.SidebarGroupDocument(name=name, paths=[path for path in paths if path in known], expanded=name != "other")
        for name, paths in groups.items()
    ]
    config.active_fields = fo.core.odm.ActiveFields(paths=[path for path in SHOWN if path in known])
    fields = [_colours(path, values) for path, values in COLOURS.items()]
    config.color_scheme = fo.ColorScheme(color_by="value", color_pool=list(POOL), fields=fields)
    dataset.save()


def _colours(path: str, values: Mapping[str, str]) -> dict[str, Any]:
    found = {"path": path, "valueColors": [{"value": value, "color": colour} for value, colour in values.items()]}
    return found | ({"colorByAttribute": "label"} if path == "boxes" else {})


def run_brain(fob: Any, dataset: Any, samples: Sequence[ReviewSample]) -> bool:
    """Whether maps, similarity and uniqueness now match the embeddings; False with fewer than five of one width."""
    width = Counter(len(sample.embedding) for sample in samples if sample.embedding).most_common(1)
    used = [sample.key for sample in samples if sample.embedding and len(sample.embedding) == width[0][0]] if width else []
    if len(used) < BRAIN_LEAST:
        return False
    digest = digest_of(sorted(used))
    if dataset.info.get("brain_digest") == digest and {"embedding_map", "similarity", "uniqueness"} <= set(dataset.list_brain_runs()):
        return True
    dataset.delete_brain_runs()
    view = flat(dataset, originals=False).select_by("key", used)
    fob.compute_visualization(view, embeddings="embedding", method="pca", brain_key="embedding_map", progress=False)
    fob.compute_similarity(view, embeddings="embedding", backend="sklearn", brain_key="similarity", progress=False)
    fob.compute_uniqueness(view, embeddings="embedding", progress=False)
    dataset.info["brain_digest"] = digest
    dataset.save()
    return True
