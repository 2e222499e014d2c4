"""What the GPU benchmark stands on: a pipeline of Stable Diffusion 1.5's size on random weights, and a store of parent frames."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from flywheel.generate.plan import Plan
from flywheel.generate.prompts import NEGATIVE_PROMPT, prompt_for
from flywheel.generate.protocol import GeneratorInfo
from flywheel.generate.request import request_for
from flywheel.store import Store, put_media
from flywheel.tables import rows_table, write_table
from flywheel.types import CONDITIONS

T0_NS, STEP_NS, DRIVE = 1_700_000_000_000_000_000, 500_000_000, "drive-a"
# The published configuration of Stable Diffusion 1.5: 859.5 million parameters in the UNet.
REAL: dict[str, dict[str, Any]] = {
    "unet": {
        "sample_size": 64, "block_out_channels": (320, 640, 1280, 1280), "layers_per_block": 2, "cross_attention_dim": 768,
        "attention_head_dim": 8,
    },
    "vae": {"sample_size": 512, "block_out_channels": (128, 256, 512, 512), "layers_per_block": 2},
    "text": {"hidden_size": 768, "intermediate_size": 3072, "num_hidden_layers": 12, "num_attention_heads": 12},
}  # fmt: skip
TINY: dict[str, dict[str, Any]] = {
    "unet": {
        "sample_size": 8, "block_out_channels": (8, 8, 8, 8), "layers_per_block": 1, "cross_attention_dim": 16, "attention_head_dim": 4,
        "norm_num_groups": 4,
    },
    "vae": {"sample_size": 64, "block_out_channels": (8, 8, 8, 8), "layers_per_block": 1, "norm_num_groups": 4},
    "text": {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2},
}  # fmt: skip


def save_pipeline(folder: Path, *, device: str, dtype: str, tiny: bool = False) -> int:
    """Writes a StableDiffusionImg2ImgPipeline with seeded random weights as safetensors; gives the UNet's parameter count."""
    import diffusers
    import torch
    from transformers import CLIPTextConfig, CLIPTextModel

    sizes, tokenizer = TINY if tiny else REAL, letters()
    torch.manual_seed(0)
    with torch.device(device):
        unet = diffusers.UNet2DConditionModel(**sizes["unet"])
        vae = diffusers.AutoencoderKL(
            **sizes["vae"], latent_channels=4, down_block_types=("DownEncoderBlock2D",) * 4, up_block_types=("UpDecoderBlock2D",) * 4
        )
        text = CLIPTextModel(CLIPTextConfig(**sizes["text"], vocab_size=49408, max_position_embeddings=77, **special(tokenizer)))
    scheduler = diffusers.DDIMScheduler(
        beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", clip_sample=False, set_alpha_to_one=False, steps_offset=1
    )
    pipeline = diffusers.StableDiffusionImg2ImgPipeline(
        vae=vae, text_encoder=text, tokenizer=tokenizer, unet=unet, scheduler=scheduler, safety_checker=None, feature_extractor=None,
        requires_safety_checker=False,
    ).to(dtype=getattr(torch, dtype))  # fmt: skip
    pipeline.save_pretrained(str(folder), safe_serialization=True)
    return sum(weight.numel() for weight in unet.parameters())


def letters() -> Any:
    """A CLIP tokenizer that knows single letters: no vocabulary comes with random weights."""
    from transformers import CLIPTokenizer

    signs = "abcdefghijklmnopqrstuvwxyz,.-"
    words = ["<|startoftext|>", "<|endoftext|>", *signs, *(f"{sign}</w>" for sign in signs)]
    return CLIPTokenizer(vocab={word: number for number, word in enumerate(words)}, merges=[], model_max_length=77)


def special(tokenizer: Any) -> dict[str, int]:
    """The token ids a text encoder's configuration names."""
    return {name: getattr(tokenizer, name) for name in ("bos_token_id", "eos_token_id", "pad_token_id")}


def frame(number: int, size_px: int) -> Any:
    """A made-up street of its own, as BGR: sky, houses, road, lane paint, a car, grain."""
    import cv2

    rng = np.random.default_rng(number)
    image = np.full((size_px, size_px, 3), (230, 190, 150), np.uint8)
    image[size_px // 2 :] = (98, 95, 95)
    for x in range(0, size_px, size_px // 8):
        top = int(rng.integers(size_px // 8, size_px // 3))
        cv2.rectangle(image, (x, top), (x + size_px // 10, size_px // 2), tuple(int(c) for c in rng.integers(60, 200, 3)), -1)
    for side in (-1, 1):
        cv2.line(image, (size_px // 2, size_px // 2), (size_px // 2 + side * size_px // 3, size_px - 1), (240, 240, 240), 5)
    cv2.rectangle(image, (int(size_px * 0.42), int(size_px * 0.5)), (int(size_px * 0.58), int(size_px * 0.62)), (40, 30, 170), -1)
    return cv2.add(image, grain(size_px), dtype=cv2.CV_8U) if number % 2 else cv2.subtract(image, grain(size_px), dtype=cv2.CV_8U)


@lru_cache(maxsize=4)
def grain(size_px: int) -> Any:
    """Sensor noise, the same on every frame: drawing it for each takes longer than everything else here."""
    return np.random.default_rng(0).normal(0, 4, (size_px, size_px, 3)).astype(np.float32)


def put_frames(store: Store, count: int, *, size_px: int) -> list[str]:
    """Stores frames as JPEG (quality 95) and gives their hashes."""
    import cv2

    def put(number: int) -> str:
        return put_media(store, bytes(cv2.imencode(".jpg", frame(number, size_px), [cv2.IMWRITE_JPEG_QUALITY, 95])[1]), "jpg")

    with ThreadPoolExecutor() as pool:
        return list(pool.map(put, range(count)))


def put_batch(store: Store, batch_id: str, shas: Sequence[str], *, size_px: int, info: GeneratorInfo) -> Plan:
    """The frames as a batch with calibration and one car ahead (so that the gates look at its box), and a plan: one variation each."""
    frames, tracks, requests = [], [], []
    for k, sha256 in enumerate(shas):
        seen = {"drive_id": DRIVE, "t_ns": T0_NS + k * STEP_NS}
        frames.append({
            **seen, "camera": "front", "kind": "rgb", "media_sha256": sha256, "ext": "jpg", "width_px": size_px, "height_px": size_px,
            "fx_px": size_px * 0.8, "fy_px": size_px * 0.8, "cx_px": size_px / 2, "cy_px": size_px / 2, "cam_x_m": 1.6, "cam_y_m": 0.0,
            "cam_z_m": 1.5, "cam_qw": 0.5, "cam_qx": -0.5, "cam_qy": 0.5, "cam_qz": -0.5,
        })  # fmt: skip
        tracks.append({
            **seen, "track_id": "1", "cls": "car", "x_m": 14.0, "y_m": 0.0, "z_m": 0.8, "heading_rad": 0.0, "length_m": 4.5,
            "width_m": 1.8, "height_m": 1.5, "vx_mps": 0.0, "vy_mps": 0.0, "visible": True,
        })  # fmt: skip
        target = CONDITIONS[k % (len(CONDITIONS) - 1) + 1]
        parent = {
            **seen, "event_id": f"ev-{k}", "scenario": "cut_in", "level": "L2", "root_group": "g", "camera": "front",
            "parent_sha256": sha256, "parent_ext": "jpg", "source_condition": "day_clear",
        }  # fmt: skip
        prompt = prompt_for("cut_in", target)
        requests.append(request_for(parent, target=target, generator=info, prompt=prompt, negative_prompt=NEGATIVE_PROMPT))
    for name, rows in (("FRAMES", frames), ("TRACKS", tracks)):
        write_table(store, name, rows_table(name, rows), batch_id=batch_id, part=DRIVE)
    return Plan(batch_id=batch_id, number=1, generator=info, requests=tuple(requests), cells=())
