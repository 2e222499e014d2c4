"""Cosmos 2.5 pipelines on random weights: the published configurations, and tiny ones to try the benchmark with."""

from typing import Any

from generators.loading import Place

Sizes = dict[str, Any]
# diffusers, scripts/convert_cosmos_to_diffusers.py: Cosmos-2.5-Transfer-General-2B and Cosmos-2.5-Predict-Base-2B.
_SHARED: Sizes = {
    "num_attention_heads": 16, "attention_head_dim": 128, "mlp_ratio": 4.0, "text_embed_dim": 1024, "adaln_lora_dim": 256,
    "max_size": (128, 240, 240), "patch_size": (1, 2, 2), "rope_scale": (1.0, 3.0, 3.0), "extra_pos_embed_type": None,
    "use_crossattn_projection": True, "crossattn_proj_in_channels": 100352, "encoder_hidden_states_channels": 1024,
}  # fmt: skip
REAL: Sizes = {
    "shared": _SHARED, "image": {"img_context_dim_in": 1152, "img_context_dim_out": 2048}, "image_tokens": 256,
    "transformer": {"in_channels": 17, "out_channels": 16, "num_layers": 28, "concat_padding_mask": True}, "every": 7,
    "control": {"n_controlnet_blocks": 4, "in_channels": 130, "latent_channels": 18, "model_channels": 2048},
    "vae": {},  # diffusers' defaults are Wan 2.1's
    "text": {  # Qwen2.5-VL-7B
        "hidden_size": 3584, "intermediate_size": 18944, "num_hidden_layers": 28, "num_attention_heads": 28, "num_key_value_heads": 4,
        "vocab_size": 152064, "max_position_embeddings": 128000, "rope_scaling": {"type": "default", "mrope_section": [16, 24, 24]},
    },
    "vision": {"depth": 32, "hidden_size": 1280, "intermediate_size": 3420, "num_heads": 16, "out_hidden_size": 3584},
}  # fmt: skip
TINY: Sizes = {
    "shared": _SHARED | {
        "num_attention_heads": 2, "attention_head_dim": 16, "mlp_ratio": 2.0, "text_embed_dim": 32, "adaln_lora_dim": 4,
        "crossattn_proj_in_channels": 32, "encoder_hidden_states_channels": 32,
    },
    "image": {"img_context_dim_in": 32, "img_context_dim_out": 32}, "image_tokens": 4,
    "transformer": {"in_channels": 17, "out_channels": 16, "num_layers": 2, "concat_padding_mask": True}, "every": 1,
    "control": {"n_controlnet_blocks": 2, "in_channels": 18, "latent_channels": 18, "model_channels": 32},
    "vae": {"base_dim": 3, "z_dim": 16, "dim_mult": [1, 1, 1, 1], "num_res_blocks": 1, "temperal_downsample": [False, True, True]},
    "text": {
        "hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "num_key_value_heads": 2,
        "vocab_size": 16, "max_position_embeddings": 1024, "rope_scaling": {"type": "default", "mrope_section": [1, 1, 2]},
    },
    "vision": {"depth": 1, "hidden_size": 16, "intermediate_size": 16, "num_heads": 2, "out_hidden_size": 16},
}  # fmt: skip
TEMPLATE = "{% for message in messages %}{{ message['role'] }} {{ message['content'][0]['text'] }} {% endfor %}"


def random_pipeline(engine: str, sizes: Sizes, *, place: Place, guard: Any) -> Any:
    """A Transfer or Predict pipeline, made on its device in its precision; output layers that start at zero are random too."""
    import torch

    was = torch.get_default_dtype()
    torch.manual_seed(0)
    torch.set_default_dtype(place.precision)
    try:
        with torch.device(place.where):
            made = _transfer(sizes, guard) if engine == "transfer" else _predict(sizes, guard)
    finally:
        torch.set_default_dtype(was)
    made.set_progress_bar_config(disable=True)
    return made.to(place.where, place.precision)


def _transfer(sizes: Sizes, guard: Any) -> Any:
    import diffusers

    transformer = diffusers.CosmosTransformer3DModel(
        **sizes["transformer"], **sizes["shared"], **sizes["image"], img_context_num_tokens=sizes["image_tokens"],
        controlnet_block_every_n=sizes["every"],
    )  # fmt: skip
    control = diffusers.CosmosControlNetModel(**sizes["control"], **sizes["shared"], **sizes["image"])
    return diffusers.Cosmos2_5_TransferPipeline(transformer=transformer, controlnet=control, safety_checker=guard, **_parts(sizes))


def _predict(sizes: Sizes, guard: Any) -> Any:
    import diffusers

    transformer = diffusers.CosmosTransformer3DModel(**sizes["transformer"], **sizes["shared"])
    return diffusers.Cosmos2_5_PredictBasePipeline(transformer=transformer, safety_checker=guard, **_parts(sizes))


def _parts(sizes: Sizes) -> dict[str, Any]:
    import diffusers
    import torch
    from transformers import Qwen2_5_VLConfig, Qwen2_5_VLForConditionalGeneration

    with torch.device("cpu"):
        scheduler = diffusers.UniPCMultistepScheduler(
            use_karras_sigmas=True, use_flow_sigmas=True, prediction_type="flow_prediction", sigma_max=200.0, sigma_min=0.01
        )
    text = Qwen2_5_VLForConditionalGeneration(Qwen2_5_VLConfig(text_config=sizes["text"], vision_config=sizes["vision"]))
    vae = diffusers.AutoencoderKLWan(**sizes["vae"])
    return {"vae": vae, "scheduler": scheduler, "tokenizer": _tokenizer(), "text_encoder": text}


def _tokenizer() -> Any:
    """A fast tokenizer with a chat template that knows a few words: with random weights the words do not matter."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    words = ["<pad>", "<unk>", "system", "user", "a", "street", "on", "night", "rainy"]
    tokenizer = Tokenizer(models.WordLevel({word: number for number, word in enumerate(words)}, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    made = PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="<pad>", unk_token="<unk>")
    made.chat_template = TEMPLATE
    return made
