"""Cosmos pipelines on random weights, small enough to run in a test: the real diffusers and transformers classes."""

from pathlib import Path
from typing import Any

SIZES: dict[str, Any] = {
    "num_attention_heads": 2, "attention_head_dim": 16, "mlp_ratio": 2.0, "text_embed_dim": 32, "adaln_lora_dim": 4,
    "max_size": (16, 32, 32), "patch_size": (1, 2, 2), "rope_scale": (1.0, 3.0, 3.0), "extra_pos_embed_type": None,
    "use_crossattn_projection": True, "crossattn_proj_in_channels": 32, "encoder_hidden_states_channels": 32,
}  # fmt: skip
IMAGE_CONTEXT = {"img_context_dim_in": 32, "img_context_dim_out": 32}
TEMPLATE = "{% for message in messages %}{{ message['role'] }} {{ message['content'][0]['text'] }} {% endfor %}"


def save_transfer(folder: Path) -> Path:
    """A Cosmos2_5_TransferPipeline with its ControlNet beside it."""
    import diffusers
    import torch

    torch.manual_seed(0)
    transformer = diffusers.CosmosTransformer3DModel(
        in_channels=17, out_channels=16, num_layers=2, controlnet_block_every_n=1, img_context_num_tokens=4, **IMAGE_CONTEXT, **SIZES
    )
    controlnet = diffusers.CosmosControlNetModel(
        n_controlnet_blocks=2, in_channels=18, latent_channels=18, model_channels=32, **IMAGE_CONTEXT, **SIZES
    )
    pipeline = diffusers.Cosmos2_5_TransferPipeline(transformer=transformer, controlnet=controlnet, **_parts(), safety_checker=Passes())
    return _saved(pipeline, folder)


def save_predict(folder: Path) -> Path:
    """A Cosmos2_5_PredictBasePipeline."""
    import diffusers
    import torch

    torch.manual_seed(0)
    transformer = diffusers.CosmosTransformer3DModel(in_channels=17, out_channels=16, num_layers=2, **SIZES)
    return _saved(diffusers.Cosmos2_5_PredictBasePipeline(transformer=transformer, **_parts(), safety_checker=Passes()), folder)


class Passes:
    """Stands for the checker, which belongs to no folder."""


def _saved(pipeline: Any, folder: Path) -> Path:
    pipeline.register_modules(safety_checker=None)
    pipeline.save_pretrained(str(folder), safe_serialization=True)
    return folder


def _parts() -> dict[str, Any]:
    import diffusers

    vae = diffusers.AutoencoderKLWan(
        base_dim=3, z_dim=16, dim_mult=[1, 1, 1, 1], num_res_blocks=1, temperal_downsample=[False, True, True]
    )  # fmt: skip
    scheduler = diffusers.UniPCMultistepScheduler(
        use_karras_sigmas=True, use_flow_sigmas=True, prediction_type="flow_prediction", sigma_max=200.0, sigma_min=0.01
    )
    tokenizer = tokenizer_of_words()
    return {"vae": vae, "scheduler": scheduler, "tokenizer": tokenizer, "text_encoder": _text_encoder(len(tokenizer))}


def _text_encoder(words: int) -> Any:
    from transformers import Qwen2_5_VLConfig, Qwen2_5_VLForConditionalGeneration

    config = Qwen2_5_VLConfig(
        text_config={
            "hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "num_key_value_heads": 2,
            "vocab_size": words, "max_position_embeddings": 1024, "rope_scaling": {"type": "default", "mrope_section": [1, 1, 2]},
        },
        vision_config={"depth": 1, "hidden_size": 16, "intermediate_size": 16, "num_heads": 2, "out_hidden_size": 16},
    )  # fmt: skip
    return Qwen2_5_VLForConditionalGeneration(config)


def tokenizer_of_words() -> Any:
    """A fast tokenizer with a chat template; it knows a few words."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    words = ["<pad>", "<unk>", "system", "user", "a", "street", "on", "night", "rainy", "prompts", "image"]
    tokenizer = Tokenizer(models.WordLevel({word: number for number, word in enumerate(words)}, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    made = PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="<pad>", unk_token="<unk>")
    made.chat_template = TEMPLATE
    return made
