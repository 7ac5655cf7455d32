"""Decoders: shapes for every length of a clip, the pools and enlargements step by step, the grid, errors."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from maskprop.engine.config import ConfigError
from maskprop.methods.stem_seg.clip_decoder import (
    LENGTHS,
    ClipClassDecoder,
    ClipEmbeddingDecoder,
    ClipSeedinessDecoder,
    place_grid,
)

SMALL = dict(channels=(8, 8, 4, 4), norm_groups=2)


def make_levels(frames: int, channels: int = 3, size: tuple[int, int] = (3, 4)) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(frames)
    sides = [[side * 2**k for side in size] for k in (3, 2, 1, 0)]
    return [torch.randn(2, channels, frames, *side, generator=generator) for side in sides]


@pytest.mark.parametrize('frames', LENGTHS)
def test_shapes(frames):
    levels = make_levels(frames)
    embedding = ClipEmbeddingDecoder(3, clip_length=frames, **SMALL)(levels)
    assert embedding.shape == (2, 7, frames, 24, 32)
    assert 0 < embedding[:, 6].min() and embedding[:, 6].max() < 1
    assert ClipClassDecoder(3, 5, clip_length=frames, **SMALL)(levels).shape == (2, 7, frames, 24, 32)
    assert ClipSeedinessDecoder(3, clip_length=frames, **SMALL)(levels).shape == (2, 1, frames, 24, 32)
    alone = ClipEmbeddingDecoder(3, clip_length=frames, with_seediness=False, **SMALL)
    assert alone(levels).shape == (2, 6, frames, 24, 32)


def literal_unit(x, conv, norm, pool: bool):
    """A unit of the decoder; the pool is a mean over 27 cells, those of the padding among them."""
    x = F.group_norm(F.conv3d(x, conv.weight, conv.bias, padding=1), 2, norm.weight, norm.bias).relu()
    if not pool:
        return x
    padded = F.pad(x, (1, 1, 1, 1, 1, 1))
    frames, height, width = x.shape[2:]
    windows = [
        padded[:, :, t : t + frames : 2, y : y + height, x0 : x0 + width]
        for t in range(3)
        for y in range(3)
        for x0 in range(3)
    ]
    return torch.stack(windows).sum(0) / 27


@pytest.mark.parametrize(
    ('frames', 'pools', 'factors'),
    [(4, (1, 0, 0), (1, 1, 2)), (8, (1, 1, 0), (1, 2, 2)), (16, (1, 1, 1), (2, 2, 2))],
)
def test_equal_to_the_steps_of_the_fact_sheet(frames, pools, factors):
    levels = make_levels(frames)
    decoder = ClipClassDecoder(3, 2, clip_length=frames, **SMALL)
    blocks = [decoder.block_32x, decoder.block_16x, decoder.block_8x, decoder.block_4x]
    outputs = []
    for block, level, units in zip(blocks, reversed(levels), (3, 2, 1, 1), strict=True):
        x = level
        for unit in range(units):
            pool = pools[unit] if block is not decoder.block_4x else False
            x = literal_unit(x, block[4 * unit], block[4 * unit + 1], pool)
        outputs.append(x)
    x = outputs[0]
    for own, factor, conv in zip(outputs[1:], factors, ('conv_16', 'conv_8', 'conv_4'), strict=True):
        x = F.interpolate(x, scale_factor=(factor, 2, 2), mode='trilinear', align_corners=False)
        x = torch.einsum('oi,bithw->bothw', getattr(decoder, conv).weight.flatten(1), torch.cat([x, own], 1))
    expected = torch.einsum('oi,bithw->bothw', decoder.conv_out.weight.flatten(1), x)
    torch.testing.assert_close(decoder(levels), expected, atol=2e-5, rtol=1e-4)


def test_embeddings_are_places_and_what_is_learnt():
    decoder = ClipEmbeddingDecoder(3, **SMALL)
    torch.nn.init.zeros_(decoder.conv_embedding.weight)
    output = decoder(make_levels(8))
    rows, columns = place_grid(24, 32)
    assert torch.equal(output[1, 0, 5], rows) and torch.equal(output[0, 1, 3], columns)
    assert output[:, 2:4].abs().max() == 0
    assert rows[:, 0].tolist() == pytest.approx([-1 + 2 * y / 23 for y in range(24)], abs=1e-6)
    assert columns[0].tolist() == pytest.approx([(-1 + 2 * x / 31) * 32 / 24 for x in range(32)], abs=1e-6)
    assert place_grid(32, 24)[0].amax() == pytest.approx(32 / 24) and place_grid(32, 24)[1].amax() == 1


def test_errors_name_what_is_wrong():
    with pytest.raises(ConfigError, match='clip_length=5'):
        ClipEmbeddingDecoder(3, clip_length=5)
    with pytest.raises(ConfigError, match='norm_groups=32'):
        ClipEmbeddingDecoder(3, channels=(32, 32, 32, 16))
    decoder = ClipEmbeddingDecoder(3, **SMALL)
    with pytest.raises(ValueError, match='clip of 4 frames'):
        decoder(make_levels(4))
    with pytest.raises(ValueError, match='2 x 4 cells'):
        decoder(make_levels(8, size=(2, 4)))
