"""Low-rank adapters (Hu et al. 2021) for Stable-Diffusion and SDXL pipelines, learnt on pairs: only the attention's adapters change.

A pipeline whose UNet takes the source beside the noise (InstructPix2Pix) learns to redraw the source; any other learns what the
fleet's pictures look like under each condition, and image-to-image brings the source in when it draws.
"""

from pathlib import Path
from typing import Any

import numpy as np

from flywheel.errors import BadData, require
from flywheel.generate.prompts import instruction_for, prompt_for
from generators.training.evaluate import as_pixels
from generators.training.lessons import Lesson
from generators.training.rounds import load_optimizer, optimizer_tensors

ATTENTION = ("to_q", "to_k", "to_v", "to_out.0")
# Share of the steps that learn to draw without words, as guidance needs (Ho and Salimans 2022).
WORDLESS = 0.05


class LoraLearner:
    """A loaded pipeline with new adapters on its UNet's attention."""

    def __init__(self, pipeline: Any, lessons: list[Lesson], *, rank: int, learning_rate: float, batch: int, seed: int) -> None:
        torch, peft = require("torch", extra="generate"), require("peft", extra="generate")
        if type(getattr(pipeline, "unet", None)).__name__ != "UNet2DConditionModel":
            raise BadData(
                f"a {type(pipeline).__name__} has no UNet2DConditionModel: adapters are learnt for Stable Diffusion and SDXL only"
            )
        self._torch, self.pipeline, self._lessons, self._batch, self._rate = torch, pipeline, lessons, batch, learning_rate
        for part in pipeline.components.values():
            if isinstance(part, torch.nn.Module):
                part.requires_grad_(False).eval()
        torch.manual_seed(seed)
        pipeline.unet.add_adapter(peft.LoraConfig(r=rank, lora_alpha=rank, init_lora_weights="gaussian", target_modules=list(ATTENTION)))
        self._learnt = {name: value for name, value in pipeline.unet.named_parameters() if value.requires_grad}
        for value in self._learnt.values():
            value.data = value.data.float()
        self._optimizer = torch.optim.AdamW(self._learnt.values(), lr=learning_rate, weight_decay=0.01)
        self._edits = pipeline.unet.config.in_channels == 2 * pipeline.vae.config.latent_channels
        self._noise = require("diffusers", extra="generate").DDPMScheduler.from_config(pipeline.scheduler.config)

    def step(self, number: int, *, progress: float) -> float:
        """One step on random lessons."""
        torch = self._torch
        chosen = [self._lessons[k] for k in torch.randint(0, len(self._lessons), (self._batch,)).tolist()]
        clean = self._latents([one.target for one in chosen], sample=True)
        noise = torch.randn(clean.shape).to(clean)
        times = torch.randint(0, self._noise.config.num_train_timesteps, (len(chosen),)).to(clean.device)
        inputs = self._noise.add_noise(clean, noise, times)
        if self._edits:
            inputs = torch.cat([inputs, self._latents([one.source for one in chosen], sample=False)], dim=1)
        found = self._predicted(inputs, times, chosen)
        wanted = self._noise.get_velocity(clean, noise, times) if self._noise.config.prediction_type == "v_prediction" else noise
        loss = torch.nn.functional.mse_loss(found.float(), wanted.float())
        self._optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self._learnt.values(), 1.0)
        self._optimizer.step()
        return float(loss.detach())

    def _predicted(self, inputs: Any, times: Any, chosen: list[Lesson]) -> Any:
        torch, pipeline = self._torch, self.pipeline
        with torch.no_grad():
            words = [self._words(one) if keep else "" for one, keep in zip(chosen, torch.rand(len(chosen)) >= WORDLESS, strict=True)]
            embeds, more = encoded(pipeline, words, size=chosen[0].target.shape)
        with torch.autocast(inputs.device.type, inputs.dtype, enabled=inputs.dtype != torch.float32):
            return pipeline.unet(inputs, times, embeds, added_cond_kwargs=more, return_dict=False)[0]

    def _words(self, one: Lesson) -> str:
        return instruction_for(one.before, one.after) if self._edits else prompt_for("reference", one.after)

    def _latents(self, images: list[Any], *, sample: bool) -> Any:
        vae = self.pipeline.vae
        pixels = as_pixels(np.stack(images), str(vae.device)).to(vae.dtype)
        with self._torch.no_grad():
            spread = vae.encode(pixels).latent_dist
            if not sample:  # InstructPix2Pix takes the source's mean, not scaled
                return spread.mode()
            return (spread.mean + spread.std * self._torch.randn(spread.mean.shape).to(spread.mean)) * vae.config.scaling_factor

    def tensors(self) -> dict[str, Any]:
        """The adapters and the optimizer."""
        return dict(self._learnt) | optimizer_tensors(self._optimizer)

    def load(self, tensors: dict[str, Any]) -> None:
        """Takes over a state."""
        with self._torch.no_grad():
            for name, value in self._learnt.items():
                value.copy_(tensors[name])
        load_optimizer(self._optimizer, tensors)

    def save(self, out: Path) -> None:
        """Writes the adapters as diffusers' `pytorch_lora_weights.safetensors`."""
        peft, diffusers = require("peft", extra="generate"), require("diffusers", extra="generate")
        layers = diffusers.utils.convert_state_dict_to_diffusers(peft.utils.get_peft_model_state_dict(self.pipeline.unet))
        maker = diffusers.StableDiffusionXLPipeline if hasattr(self.pipeline, "text_encoder_2") else diffusers.StableDiffusionPipeline
        maker.save_lora_weights(str(out), unet_lora_layers=layers, safe_serialization=True)


def encoded(pipeline: Any, words: list[str], *, size: tuple[int, ...]) -> tuple[Any, dict[str, Any] | None]:
    """(the prompts' embeddings, what an SDXL UNet needs besides: pooled embeddings and the picture's size)."""
    torch = require("torch", extra="generate")
    if not hasattr(pipeline, "text_encoder_2"):
        length = pipeline.tokenizer.model_max_length
        tokens = pipeline.tokenizer(words, padding="max_length", truncation=True, max_length=length, return_tensors="pt")
        return pipeline.text_encoder(tokens.input_ids.to(pipeline.text_encoder.device))[0], None
    embeds, _, pooled, _ = pipeline.encode_prompt(prompt=words, device=pipeline.unet.device, do_classifier_free_guidance=False)
    place = torch.tensor([[size[0], size[1], 0, 0, size[0], size[1]]], dtype=embeds.dtype, device=embeds.device).expand(len(words), -1)
    return embeds, {"text_embeds": pooled, "time_ids": place}
