"""A dataset's card: what is in one version, for a person to read. Pure."""

from collections import defaultdict

from flywheel.datasets import Manifest

SMALL = 5


def card(manifest: Manifest) -> str:
    """Markdown made from the manifest alone."""
    parts = [_head(manifest), _splits(manifest), _evaluation(manifest), _slices(manifest), _sources(manifest), _refused(manifest)]
    return "\n\n".join(parts) + "\n"


def _table(titles: list[str], rows: list[list[object]]) -> str:
    lines = [titles, ["---"] * len(titles), *([str(cell) for cell in row] for row in rows)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _head(manifest: Manifest) -> str:
    synthetic = sum(manifest.generators.values())
    return (
        f"# {manifest.ref}\n\n{manifest.rows} samples: {manifest.rows - synthetic} real, {synthetic} synthetic.\n\n"
        f"- digest: `{manifest.digest}`\n- previous version: {manifest.previous or 'none'}\n- made by flywheel {manifest.code_version}\n"
        f"- recipe: `{manifest.recipe}`\n- generators: {manifest.generators or 'none'}"
    )


def _splits(manifest: Manifest) -> str:
    groups: defaultdict[str, int] = defaultdict(int)
    for split in manifest.groups.values():
        groups[split] += 1
    rows: list[list[object]] = [[split, count, groups[split]] for split, count in manifest.splits.items()]
    text = "A split belongs to a whole group (vehicle, day, place); a synthetic sample lies where its parent lies."
    return f"## Splits\n\n{text}\n\n" + _table(["split", "samples", "groups"], rows)


def _evaluation(manifest: Manifest) -> str:
    test = [s for s in manifest.slices if s.split == "test" and not s.synthetic]
    labelled = sum(s.labelled for s in test)
    if not labelled:
        why = "the test split holds no labelled real sample. Add drives of another vehicle, day or place."
        return f"## Evaluation\n\n**Not possible on this version**: {why}"
    small = sorted(f"{s.scenario} / {s.condition} ({s.labelled})" for s in test if s.labelled < SMALL)
    note = f" Fewer than {SMALL} labelled real test samples, so no firm statement: {', '.join(small)}." if small else ""
    return f"## Evaluation\n\nReal samples alone count: {labelled} labelled ones in the test split.{note}"


def _slices(manifest: Manifest) -> str:
    rows: list[list[object]] = [
        [s.scenario, s.condition, s.split, "synthetic" if s.synthetic else "real", s.samples, s.labelled] for s in manifest.slices
    ]
    return "## Slices\n\n" + _table(["scenario", "condition", "split", "origin", "samples", "labelled"], rows)


def _sources(manifest: Manifest) -> str:
    rows: list[list[object]] = [[s.drive_id, s.source_name, _plain(s.root_group), s.licence or "not stated"] for s in manifest.sources]
    return "## Sources\n\n" + _table(["drive", "log", "group", "licence"], rows)


def _plain(text: str) -> str:
    return text.replace("|", " ")


def _refused(manifest: Manifest) -> str:
    if not manifest.refused:
        return "## Left out\n\nNothing."
    return f"## Left out ({len(manifest.refused)})\n\n" + "\n".join(f"- `{item.subject}`: {item.reason}" for item in manifest.refused)
