"""The parts in their faster form give what the plain ones give, and stay plain where the faster form would cost memory."""

from typing import Any

import pytest

from generators import faster_parts

torch = pytest.importorskip("torch")


def networks() -> tuple[Any, Any]:
    import diffusers

    torch.manual_seed(0)
    unet = diffusers.UNet2DConditionModel(
        sample_size=8, block_out_channels=(8, 16), layers_per_block=1, norm_num_groups=4, cross_attention_dim=16, attention_head_dim=4,
        down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"), up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
    )  # fmt: skip
    vae = diffusers.AutoencoderKL(
        block_out_channels=(8, 8), layers_per_block=1, norm_num_groups=4, latent_channels=4,
        down_block_types=("DownEncoderBlock2D",) * 2, up_block_types=("UpDecoderBlock2D",) * 2,
    )  # fmt: skip
    for net in (unet, vae):
        for weight in net.parameters():
            torch.nn.init.normal_(weight, std=0.3)
        net.fuse_qkv_projections()
    return unet.eval(), vae.eval()


@pytest.mark.parametrize("places", [4096, 16])
def test_both_networks_give_what_they_gave(monkeypatch: pytest.MonkeyPatch, places: int) -> None:
    monkeypatch.setattr(faster_parts, "PLACES", places)
    unet, vae = networks()
    latents, guides, pixels = torch.randn(2, 4, 8, 8) + 3, torch.randn(2, 5, 16), torch.randn(2, 3, 16, 16)

    def given() -> list[Any]:
        with torch.inference_mode():
            return [unet(latents, torch.tensor(9), guides).sample, vae.encode(pixels).latent_dist.mean, vae.decode(latents).sample]

    before = given()
    faster_parts.quicken(unet, vae)
    assert sum(type(part).__name__ == "Channelwise" for part in (*unet.modules(), *vae.modules())) > 10
    assert type(vae.decoder.mid_block.attentions[0].processor).__name__ == "Products"
    for was, now in zip(before, given(), strict=True):
        assert torch.allclose(was, now, atol=1e-4 * float(was.abs().max()))
