"""Random-weight pipelines small enough to run in a test: real diffusers and transformers classes, saved as safetensors."""

from pathlib import Path
from typing import Any


def save_img2img(folder: Path, *, blocks: bool = False) -> Path:
    """A StableDiffusionImg2ImgPipeline; with `blocks` it has a safety checker that blocks everything."""
    import diffusers

    parts = _parts(latent_inputs=4)
    if blocks:
        parts |= {"safety_checker": _checker(), "feature_extractor": _extractor()}
    _save(diffusers.StableDiffusionImg2ImgPipeline(**parts, requires_safety_checker=blocks), folder)
    return folder


def save_text2img(folder: Path) -> Path:
    """A StableDiffusionPipeline: it takes no image until it is turned into an image-to-image pipeline."""
    import diffusers

    _save(diffusers.StableDiffusionPipeline(**_parts(latent_inputs=4), requires_safety_checker=False), folder)
    return folder


def save_pix2pix(folder: Path) -> Path:
    """A StableDiffusionInstructPix2PixPipeline."""
    import diffusers

    _save(diffusers.StableDiffusionInstructPix2PixPipeline(**_parts(latent_inputs=8), requires_safety_checker=False), folder)
    return folder


def _save(pipeline: Any, folder: Path) -> None:
    pipeline.save_pretrained(str(folder), safe_serialization=True)


def _parts(*, latent_inputs: int) -> dict[str, Any]:
    import diffusers
    import torch
    from transformers import CLIPTextConfig, CLIPTextModel

    torch.manual_seed(0)
    tokenizer = _tokenizer()
    text = CLIPTextConfig(
        vocab_size=len(tokenizer), hidden_size=16, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2,
        max_position_embeddings=16, bos_token_id=tokenizer.bos_token_id, eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )  # fmt: skip
    unet = diffusers.UNet2DConditionModel(
        sample_size=64, in_channels=latent_inputs, out_channels=4, block_out_channels=(8, 16), layers_per_block=1, norm_num_groups=4,
        cross_attention_dim=16, attention_head_dim=4, down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
    )  # fmt: skip
    vae = diffusers.AutoencoderKL(
        sample_size=64, block_out_channels=(8, 8), layers_per_block=1, norm_num_groups=4, latent_channels=4,
        down_block_types=("DownEncoderBlock2D",) * 2, up_block_types=("UpDecoderBlock2D",) * 2,
    )  # fmt: skip
    scheduler = diffusers.DDIMScheduler(
        beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", clip_sample=False, set_alpha_to_one=False, steps_offset=1
    )
    return {
        "vae": vae, "text_encoder": CLIPTextModel(text), "tokenizer": tokenizer, "unet": unet, "scheduler": scheduler,
        "safety_checker": None, "feature_extractor": None,
    }  # fmt: skip


def _tokenizer() -> Any:
    """A CLIP tokenizer that knows single letters only."""
    from transformers import CLIPTokenizer

    letters = "abcdefghijklmnopqrstuvwxyz,."
    words = ["<|startoftext|>", "<|endoftext|>", *letters, *(f"{letter}</w>" for letter in letters)]
    return CLIPTokenizer(vocab={word: number for number, word in enumerate(words)}, merges=[], model_max_length=16)


def _checker() -> Any:
    import torch
    from diffusers.pipelines.stable_diffusion.safety_checker import StableDiffusionSafetyChecker
    from transformers import CLIPConfig, CLIPTextConfig, CLIPVisionConfig

    vision = CLIPVisionConfig(
        hidden_size=16, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2, image_size=32, patch_size=16
    )
    text = CLIPTextConfig(hidden_size=16, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2)
    config = CLIPConfig(text_config=text.to_dict(), vision_config=vision.to_dict(), projection_dim=8)
    checker = StableDiffusionSafetyChecker(config)
    checker.concept_embeds_weights.data = torch.full((17,), -2.0)  # a cosine is never below -1, so every concept is found
    return checker


def _extractor() -> Any:
    from transformers import CLIPImageProcessor

    return CLIPImageProcessor(size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32})
