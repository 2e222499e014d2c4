"""From chosen frames and targets to requests: prompts from what a frame shows, clips around it, objects inserted into it."""

from collections.abc import Iterable, Sequence
from typing import Any

from flywheel.errors import BadData, NotEvaluable
from flywheel.generate.clips import clip_frames
from flywheel.generate.controls import Controls
from flywheel.generate.frames import KeyFrame
from flywheel.generate.inserts import PlannedObject, plan_object
from flywheel.generate.prompts import actors_in, prompts_for
from flywheel.generate.protocol import GeneratorInfo
from flywheel.generate.recipes import Recipe
from flywheel.generate.request import ClipFrame, VariationRequest, request_for
from flywheel.geometry import image_boxes
from flywheel.store import Store
from flywheel.types import Condition
from flywheel.video import pictured

MS = 1_000_000


class Shaper:
    """Makes one batch's requests for a generator as a recipe asks; `keep` stores the stills that videos are taken apart into."""

    def __init__(self, store: Store, batch_id: str, *, generator: GeneratorInfo, recipe: Recipe, keep: bool) -> None:
        inserts = generator.parameters.get("prompts") == "object"
        if inserts != bool(recipe.inserts):
            raise BadData(
                f"{generator.name} {'draws' if inserts else 'does not draw'} objects into frames, recipe {recipe.name} "
                f"{'asks' if recipe.inserts else 'does not ask'} for them: see flywheel recipes and flywheel engines"
            )
        self._store, self._generator, self._recipe, self._keep = store, generator, recipe, keep
        self._log = Controls(store, batch_id)
        self._clips: dict[tuple[str, str, int], tuple[ClipFrame, ...]] = {}

    def able(self, frames: Sequence[KeyFrame]) -> tuple[list[KeyFrame], list[str]]:
        """The key frames that can be what the recipe asks for, and a note on how many cannot, and why."""
        if self._recipe.clip_frames == 1:
            return list(frames), []
        kept, reasons = [], []
        for frame in frames:
            try:
                self._clips[_place(frame)] = self._clip(frame)
                kept.append(frame)
            except NotEvaluable as err:
                reasons.append(str(err))
        return kept, _said(len(frames), reasons)

    def request(self, frame: KeyFrame, target: Condition, *, insert: PlannedObject | None = None, salt: int = 0) -> VariationRequest:
        """The request to redraw a key frame under a target, or to draw an object into it."""
        known = self._log.geometry(**_where(frame))
        prompt = prompts_for(
            self._generator, scenario=frame.scenario, source=Condition.parse(frame.source_condition), target=target,
            actors=actors_in(image_boxes(known[1], known[0])) if known else {}, insert=insert,
        )  # fmt: skip
        return request_for(
            frame.content(), target=target, generator=self._generator, prompt=prompt.positive, negative_prompt=prompt.negative,
            salt=salt, insert=insert, clip=self._clips.get(_place(frame), ()),
        )  # fmt: skip

    def inserted(self, frames: Sequence[KeyFrame], *, budget: int) -> tuple[list[VariationRequest], list[str]]:
        """Requests to draw objects into frames, every frame once before any twice, kinds in turn; and what could not be placed."""
        found: dict[str, VariationRequest] = {}
        reasons: list[str] = []
        for salt, kind, frame in self._turns(frames):
            if len(found) >= budget:
                break
            try:
                planned = self._planned(kind, frame, salt)
            except NotEvaluable as err:
                reasons.append(str(err))
                continue
            request = self.request(frame, Condition.parse(frame.source_condition), insert=planned, salt=salt)
            found.setdefault(request.variation_id, request)
        return list(found.values()), _said(len(found) + len(reasons), reasons)

    def _turns(self, frames: Sequence[KeyFrame]) -> Iterable[tuple[int, str, KeyFrame]]:
        kinds = self._recipe.inserts
        return (
            (salt, kinds[(salt + at) % len(kinds)], frame) for salt in range(self._recipe.per_event) for at, frame in enumerate(frames)
        )  # fmt: skip

    def _planned(self, kind: str, frame: KeyFrame, salt: int) -> PlannedObject:
        known = self._log.geometry(**_where(frame))
        if known is None:
            raise NotEvaluable("no calibration, or no tracks at that time: what would be hidden is not known")
        return plan_object(kind, known[0], known[1], salt=salt)

    def _clip(self, frame: KeyFrame) -> tuple[ClipFrame, ...]:
        rows = self._log.pictures(frame.drive_id, frame.camera)
        spacing_ns = self._recipe.clip_spacing_ms * MS
        chosen = clip_frames(rows, frame.t_ns, count=self._recipe.clip_frames, spacing_ns=spacing_ns)
        made, lost = pictured(self._store, chosen, keep=self._keep)
        if lost:
            raise NotEvaluable(f"a frame of the clip cannot be decoded: {lost[0][1]}")
        return tuple(ClipFrame(t_ns=row["t_ns"], parent_sha256=row["media_sha256"]) for row in made)


def _place(frame: KeyFrame) -> tuple[str, str, int]:
    return frame.drive_id, frame.camera, frame.t_ns


def _where(frame: KeyFrame) -> dict[str, Any]:
    return {"drive_id": frame.drive_id, "camera": frame.camera, "t_ns": frame.t_ns}


def _said(tried: int, reasons: Sequence[str]) -> list[str]:
    return [f"{len(reasons)} of {tried} frames cannot be what the recipe asks for, the first: {reasons[0]}"] if reasons else []
