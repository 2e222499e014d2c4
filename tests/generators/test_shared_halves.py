"""What a UNet computes before its first cross-attention is computed once for both halves of guidance, and nothing else changes."""

from typing import Any

import pytest

from generators.shared_halves import share_halves

torch = pytest.importorskip("torch")


def unet(first: str) -> Any:
    import diffusers

    torch.manual_seed(0)
    return diffusers.UNet2DConditionModel(
        sample_size=16, block_out_channels=(8, 16), layers_per_block=1, norm_num_groups=4, cross_attention_dim=16, attention_head_dim=4,
        down_block_types=(first, "CrossAttnDownBlock2D"), up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
    ).eval()  # fmt: skip


def asked(net: Any, latents: Any, guides: Any) -> Any:
    with torch.inference_mode():
        return net(torch.cat([latents, latents]), torch.tensor(500), encoder_hidden_states=guides, return_dict=False)[0]


def test_both_halves_come_out_as_before_from_half_the_work() -> None:
    latents, guides = torch.randn(3, 4, 16, 16), torch.randn(6, 7, 16)
    net = unet("CrossAttnDownBlock2D")
    net.fuse_qkv_projections()
    before = asked(net, latents, guides)
    seen: list[int] = []
    parts = [net.conv_in, net.down_blocks[0].resnets[0], net.down_blocks[0].attentions[0].transformer_blocks[0].attn1]
    for part in parts:
        part.register_forward_pre_hook(lambda module, given: seen.append(given[0].shape[0]))
    assert share_halves(net)
    after = asked(net, latents, guides)
    assert seen == [3, 3, 3]
    assert torch.allclose(before, after, atol=1e-5)
    assert not torch.allclose(after[:3], after[3:], atol=1e-3), "the prompts still tell the halves apart"


def test_a_unet_that_begins_otherwise_stays_as_it_is() -> None:
    net = unet("DownBlock2D")
    names = set(net.state_dict())
    assert not share_halves(net)
    assert set(net.state_dict()) == names
