"""The marking inside the PNG and the record beside it."""

import io

import numpy as np
import pytest
from generate_drives import BATCH, Darkening, png, scene

from flywheel.errors import BadData
from flywheel.generate.plan import plan_batch
from flywheel.generate.provenance import mark_png, provenance_of, put_provenance, read_marking, read_provenance
from flywheel.generate.request import VariationRequest
from flywheel.store import Store

PNG = png(scene())


@pytest.fixture
def request_(store: Store) -> VariationRequest:
    return plan_batch(store, BATCH, generator=Darkening().info, budget=1).requests[0]


def test_marking_round_trip_keeps_the_pixels(request_: VariationRequest) -> None:
    import cv2

    marked = mark_png(PNG, request_)
    assert read_marking(PNG) == {}
    found = read_marking(marked)
    assert found["variation_id"] == request_.variation_id and found["synthetic"] is True
    assert found["digitalSourceType"] == request_.digital_source_type
    before, after = (cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR) for data in (PNG, marked))
    assert np.array_equal(before, after)
    assert mark_png(PNG, request_) == marked


def test_other_tools_read_the_marking(request_: VariationRequest) -> None:
    image = pytest.importorskip("PIL.Image").open(io.BytesIO(mark_png(PNG, request_)))
    image.load()
    assert request_.digital_source_type in image.text["XML:com.adobe.xmp"]
    assert request_.variation_id in image.text["flywheel"]


def test_damage_is_found(request_: VariationRequest) -> None:
    marked = mark_png(PNG, request_)
    at = marked.index(b"variation_id")
    for broken in (marked[:-20], marked[:at] + b"X" + marked[at + 1 :], b"\xff\xd8 a jpeg", b""):
        with pytest.raises(BadData):
            read_marking(broken)


def test_records_are_canonical_and_hold_no_clock(store: Store, request_: VariationRequest) -> None:
    record = provenance_of(request_, output_sha256="ab" * 32, drawn_at={"width_px": 160})
    key = put_provenance(store, record)
    assert key == f"media/ab/{'ab' * 32}.provenance.json"
    assert read_provenance(store, "ab" * 32) == record
    assert not any("time" in name or "second" in name for name in record.model_dump())
