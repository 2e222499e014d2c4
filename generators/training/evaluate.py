"""How often a drawing is nearer to the true render than the source frame is, on views no training ever saw."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from flywheel.types import CONDITIONS, Record
from generators.training.losses import Features, ssim


class TargetScore(Record):
    """Shares in [0, 1] over all pairs with this target; the feature share is None without the feature network."""

    target: str
    pairs: int
    nearer_by_ssim: float
    ssim_drawn: float
    ssim_source: float
    nearer_by_feature: float | None = None


def as_pixels(images: NDArray[np.uint8], device: str) -> Any:
    """(N, 3, H, W) in [-1, 1] of (N, H, W, 3) uint8 images."""
    import torch

    return torch.from_numpy(np.ascontiguousarray(images)).to(device).permute(0, 3, 1, 2).float() / 127.5 - 1


def _compare(drawn: Any, source: Any, true: Any, features: Features | None) -> dict[str, Any]:
    import torch

    with torch.inference_mode():
        found = {"drawn": ssim(drawn, true).cpu(), "source": ssim(source, true).cpu()}
        if features is not None:
            vectors = [features(images)[1] for images in (drawn, source, true)]
            found["feature"] = ((vectors[0] - vectors[2]).norm(dim=1) < (vectors[1] - vectors[2]).norm(dim=1)).float().cpu()
    return found


def evaluate(pipeline: Any, views: list[NDArray[np.uint8]], features: Features | None, *, device: str, chunk: int) -> list[TargetScore]:
    """Scores per target over all ordered pairs of different conditions of the views, the last row over all."""
    kinds = len(CONDITIONS)
    pairs = [(view, a, b) for view in range(len(views)) for a in range(kinds) for b in range(kinds) if a != b]
    found: dict[str, list[Any]] = {}
    for start in range(0, len(pairs), chunk):
        part = pairs[start : start + chunk]
        source, true = np.stack([views[v][a] for v, a, _ in part]), np.stack([views[v][b] for v, _, b in part])
        drawn = pipeline(source, [a * kinds + b for _, a, b in part], [start + n for n in range(len(part))], particles=False)
        for name, values in _compare(as_pixels(drawn, device), as_pixels(source, device), as_pixels(true, device), features).items():
            found.setdefault(name, []).append(values.numpy())
    columns = {name: np.concatenate(values) for name, values in found.items()}
    targets = np.array([b for _, _, b in pairs])
    rows = [_score(CONDITIONS[b].name, {n: v[targets == b] for n, v in columns.items()}) for b in range(kinds)]
    return [*rows, _score("all", columns)]


def _score(name: str, columns: dict[str, NDArray[np.float32]]) -> TargetScore:
    nearer = columns["drawn"] > columns["source"]
    return TargetScore(
        target=name, pairs=len(nearer), nearer_by_ssim=float(nearer.mean()),
        ssim_drawn=float(columns["drawn"].mean()), ssim_source=float(columns["source"].mean()),
        nearer_by_feature=float(columns["feature"].mean()) if "feature" in columns else None,
    )  # fmt: skip


def score_table(rows: list[TargetScore]) -> str:
    """The scores as a Markdown table."""
    lines = ["| target | pairs | nearer by SSIM | nearer by feature | SSIM drawn | SSIM source |", "|---|---|---|---|---|---|"]
    for row in rows:
        feature = "n/a" if row.nearer_by_feature is None else f"{row.nearer_by_feature:.1%}"
        lines.append(
            f"| {row.target} | {row.pairs} | {row.nearer_by_ssim:.1%} | {feature} | {row.ssim_drawn:.3f} | {row.ssim_source:.3f} |"
        )
    return "\n".join(lines)
