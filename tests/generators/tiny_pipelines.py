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


def save_inpaint(folder: Path) -> Path:
    """A StableDiffusionInpaintPipeline with the nine-channel UNet of the real inpainting weights."""
    import diffusers

    _save(diffusers.StableDiffusionInpaintPipeline(**_parts(latent_inputs=9), requires_safety_checker=False), folder)
    return folder


def save_sdxl(folder: Path, *, wide: bool = False) -> Path:
    """A StableDiffusionXLPipeline, as SDXL's own repository holds it: two text encoders, size conditioning."""
    import diffusers
    from transformers import CLIPTextModelWithProjection

    parts = _parts(latent_inputs=4, sdxl=True, wide=wide)
    two = CLIPTextModelWithProjection(parts["text_encoder"].config)
    kept = {name: parts[name] for name in ("vae", "text_encoder", "tokenizer", "unet", "scheduler")}
    _save(diffusers.StableDiffusionXLPipeline(**kept, text_encoder_2=two, tokenizer_2=parts["tokenizer"]), folder)
    return folder


def save_controlnet(folder: Path, *, sdxl: bool = False, union: bool = False, seed: int = 1) -> Path:
    """A ControlNetModel or ControlNetUnionModel for the tiny UNets, its last layers not zero, so that it steers."""
    import diffusers
    import torch

    torch.manual_seed(seed)
    kind = diffusers.ControlNetUnionModel if union else diffusers.ControlNetModel
    more = {"num_control_type": 8, "conditioning_channels": 3} if union else {}
    if sdxl:
        more |= {"projection_class_embeddings_input_dim": 64, "addition_embed_type": "text_time", "addition_time_embed_dim": 8}
    net = kind(**_unet_shape(sdxl=sdxl, wide=union), in_channels=4, conditioning_embedding_out_channels=(8, 16), **more)
    for name, weights in net.named_parameters():
        if name.startswith(("controlnet_down", "controlnet_mid", "controlnet_cond_embedding.conv_out")):
            torch.nn.init.normal_(weights, std=0.5)
    net.save_pretrained(str(folder), safe_serialization=True)
    return folder


def save_flux(folder: Path, *, kontext: bool = False) -> Path:
    """A FluxPipeline (as the schnell repository holds it) or a FluxKontextPipeline."""
    import diffusers
    import torch
    from transformers import T5Config, T5EncoderModel

    parts = _parts(latent_inputs=4)
    tokens = _tokenizer()
    torch.manual_seed(3)
    transformer = diffusers.FluxTransformer2DModel(
        patch_size=1, in_channels=16, num_layers=1, num_single_layers=1, attention_head_dim=16, num_attention_heads=2,
        joint_attention_dim=16, pooled_projection_dim=16, axes_dims_rope=(4, 4, 8), guidance_embeds=kontext,
    )  # fmt: skip
    t5 = T5EncoderModel(T5Config(vocab_size=len(tokens), d_model=16, d_kv=8, d_ff=16, num_layers=1, num_heads=2))
    vae = diffusers.AutoencoderKL(
        block_out_channels=(8, 8), norm_num_groups=4, latent_channels=4, down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2, use_quant_conv=False, use_post_quant_conv=False, shift_factor=0.1, scaling_factor=0.4,
    )  # fmt: skip
    kind = diffusers.FluxKontextPipeline if kontext else diffusers.FluxPipeline
    made = kind(
        scheduler=diffusers.FlowMatchEulerDiscreteScheduler(), vae=vae, text_encoder=parts["text_encoder"], tokenizer=tokens,
        text_encoder_2=t5, tokenizer_2=_t5_tokenizer(), transformer=transformer,
    )  # fmt: skip
    _save(made, folder)
    return folder


def save_depth_estimator(folder: Path) -> Path:
    """A DPTForDepthEstimation with its image processor."""
    import torch
    from transformers import DPTConfig, DPTForDepthEstimation, DPTImageProcessor

    torch.manual_seed(4)
    config = DPTConfig(
        hidden_size=16, num_hidden_layers=4, num_attention_heads=2, intermediate_size=16, image_size=32, patch_size=8, is_hybrid=False,
        backbone_out_indices=[0, 1, 2, 3], neck_hidden_sizes=[8, 8, 8, 8], fusion_hidden_size=8, readout_type="ignore",
    )  # fmt: skip
    DPTForDepthEstimation(config).save_pretrained(str(folder), safe_serialization=True)
    DPTImageProcessor(size={"height": 32, "width": 32}).save_pretrained(str(folder))
    return folder


def save_segmenter(folder: Path, labels: tuple[str, ...]) -> Path:
    """A SegformerForSemanticSegmentation with these labels, and its image processor."""
    import torch
    from transformers import SegformerConfig, SegformerForSemanticSegmentation, SegformerImageProcessor

    torch.manual_seed(5)
    config = SegformerConfig(
        num_encoder_blocks=2, depths=[1, 1], sr_ratios=[2, 1], hidden_sizes=[8, 8], patch_sizes=[7, 3], strides=[4, 2],
        num_attention_heads=[1, 1], mlp_ratios=[2, 2], decoder_hidden_size=8, id2label=dict(enumerate(labels)),
        label2id={name: at for at, name in enumerate(labels)},
    )  # fmt: skip
    SegformerForSemanticSegmentation(config).save_pretrained(str(folder), safe_serialization=True)
    SegformerImageProcessor(size={"height": 32, "width": 32}).save_pretrained(str(folder))
    return folder


def _t5_tokenizer() -> Any:
    from transformers import T5Tokenizer

    letters = [f"▁{letter}" for letter in "abcdefghijklmnopqrstuvwxyz"] + list("abcdefghijklmnopqrstuvwxyz,.▁")
    words = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), *((word, -2.0) for word in letters[:24])]
    return T5Tokenizer(vocab=words, extra_ids=0)


def _save(pipeline: Any, folder: Path) -> None:
    pipeline.save_pretrained(str(folder), safe_serialization=True)


def _unet_shape(*, sdxl: bool, wide: bool = False) -> dict[str, Any]:
    """What a ControlNet has in common with its UNet; `wide` as a union model needs it, whose first width is fixed in its code."""
    return {
        "block_out_channels": (320 if wide else 8, 16), "layers_per_block": 1, "norm_num_groups": 4,
        "cross_attention_dim": 32 if sdxl else 16, "attention_head_dim": 4, "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D"),
    }  # fmt: skip


def _parts(*, latent_inputs: int, sdxl: bool = False, wide: bool = False) -> dict[str, Any]:
    import diffusers
    import torch
    from transformers import CLIPTextConfig, CLIPTextModel

    torch.manual_seed(0)
    tokenizer = _tokenizer()
    text = CLIPTextConfig(
        vocab_size=len(tokenizer), hidden_size=16, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2,
        max_position_embeddings=16, bos_token_id=tokenizer.bos_token_id, eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id, projection_dim=16,
    )  # fmt: skip
    sized = {"addition_embed_type": "text_time", "addition_time_embed_dim": 8, "projection_class_embeddings_input_dim": 64}
    unet = diffusers.UNet2DConditionModel(
        sample_size=64, in_channels=latent_inputs, out_channels=4, up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        **_unet_shape(sdxl=sdxl, wide=wide), **(sized if sdxl else {}),
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
