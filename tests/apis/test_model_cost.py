"""Costs against parameters counted by hand, closed formulas, and real tensors on the CPU."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import maskprop

maskprop.register_all()

from mmcv.ops import DeformConv2dPack  # noqa: E402
from mmdet.registry import MODELS  # noqa: E402
from mmengine.config import Config  # noqa: E402

from maskprop.apis.model_cost import LiveMemory, ModelCost, _Counter, count_parameters, model_cost  # noqa: E402
from maskprop.apis.model_cost_tables import cost_tables  # noqa: E402
from maskprop.engine.num_classes import fit_num_classes  # noqa: E402
from maskprop.models.frame_pairs import pair_features  # noqa: E402
from tests.methods.sipmask.sipmask_model import build_sipmask  # noqa: E402
from tests.models.builders import build_model  # noqa: E402

SIZE = (64, 96)


def test_live_memory_follows_tensors_as_they_come_and_go():
    kept = torch.zeros(1000, dtype=torch.float64)
    with LiveMemory([kept]) as memory:
        a = kept + 1  # 8000 bytes
        b = a.view(10, 100)  # the same memory
        kept.view(-1)
        assert (memory.live, memory.peak) == (8000, 8000)
        c = torch.cat([a, a])
        del a
        assert memory.live == 24000  # b still has it
        del b, c
        assert (memory.live, memory.peak) == (0, 24000)


def test_memory_that_is_kept_for_the_backward_pass():
    weight = torch.ones(100, 100, requires_grad=True)
    x = torch.ones(50, 100)
    with LiveMemory([weight, x]) as memory:
        result = (x @ weight).sigmoid().sum()  # sigmoid keeps its result; the product goes
    assert memory.live == 4 * (50 * 100 + 1) and memory.peak > memory.live
    del result
    assert memory.live == 0


@pytest.mark.parametrize('groups', [1, 2])
def test_flops_of_convolutions(groups):
    """A multiply-add is two, and a deformable convolution has 9 lookups of 8 FLOPs for each channel and cell."""
    plain = nn.Conv2d(4, 6, 3, padding=1, groups=groups)
    deformable = DeformConv2dPack(4, 6, 3, padding=1, groups=groups)
    model = nn.ModuleList([plain, deformable]).to('meta')
    counter = _Counter(model)
    x = torch.empty(2, 4, 5, 7, device='meta')
    cells = 2 * 5 * 7
    result, flops = counter.count(plain, x)
    assert flops == 2 * cells * 6 * 4 // groups * 9
    offsets = 2 * cells * 18 * 4 * 9
    sampled, deform_flops = counter.count(deformable, x)
    assert sampled.shape == result.shape and deform_flops == flops + offsets + 8 * cells * 4 * 9
    assert counter.count(plain, x)[1] == flops  # counts don't add up over calls


@pytest.mark.parametrize('detector', ['mask_rcnn', 'htc'])
def test_parameters_by_part(detector):
    model = build_model(detector)
    total = sum(p.numel() for p in model.parameters())
    counts = count_parameters(model)
    assert sum(counts.values()) == total and 'other' not in counts
    assert counts['FPN'] == sum(p.numel() for p in model.detector.neck.parameters())
    model.extra = nn.Linear(3, 2)
    assert count_parameters(model)['other'] == 8


@pytest.mark.slow
def test_a_frame_of_the_small_model():
    model = build_model()
    levels = model.detector.backbone(torch.zeros(1, 3, *SIZE))
    neck = model.detector.neck
    expected = 0  # FPN: 1x1 convolutions of the levels, 3x3 ones of their sums
    for level, lateral, output in zip(levels, neck.lateral_convs, neck.fpn_convs, strict=True):
        weights = lateral.conv.weight.numel() + output.conv.weight.numel()
        expected += 2 * level.shape[-2:].numel() * weights
    state = sum(v.numel() * v.element_size() for v in model.state_dict().values())
    few, many = (model_cost(build_model(), SIZE, instances) for instances in (2, 6))
    assert few.flops['FPN'] == expected and few.state_bytes == state
    assert set(few.flops) == set(few.parameters)
    assert few.flops['box heads'] == many.flops['box heads']
    assert 2.9 < many.flops['mask heads'] / few.flops['mask heads'] <= 3
    assert few.test_bytes > 4 * sum(level.numel() for level in levels)
    assert few.test_bytes < many.test_bytes


@pytest.mark.slow
def test_memory_of_a_training_sample_is_what_real_tensors_take():
    model = build_model().train()
    with LiveMemory([*model.parameters(), *model.buffers()]) as memory:
        feats = pair_features(model.detector, None, torch.zeros(1, 2, 3, *SIZE))[0]
    assert model_cost(build_model(), SIZE).train_bytes == memory.live
    assert memory.live > 4 * sum(level.numel() for level in feats)


@pytest.mark.slow
def test_with_support_frames_every_one_of_them_is_sampled():
    width = build_model().detector.neck.in_channels[3]
    sampler = dict(type='SpatiotemporalSampler', in_channels=(width,), channels=8, embed_channels=(4, 4, 8))
    one, two, three = (
        model_cost(build_model(aggregator=dict(sampler, window=window)), SIZE) for window in (1, 2, 3)
    )
    # linear in the number of frames
    assert 0 < two.flops['STSN'] - one.flops['STSN'] == three.flops['STSN'] - two.flops['STSN']
    assert one.flops['backbone'] == two.flops['backbone'] and one.parameters == two.parameters


def test_tables_have_a_row_for_each_model_and_a_column_for_each_part():
    costs = {
        'a': ModelCost({'FPN': 1_500_000}, {'FPN': 2 * 10**9}, 3 * 10**6, 4 * 10**6, 5 * 10**6),
        'b': ModelCost({'FPN': 10**6, 'STSN': 10**6}, {'FPN': 10**9, 'STSN': 10**9}),
    }
    memory, parameters, flops = cost_tables(costs).split('\n\n')
    assert memory.splitlines()[2] == '| a | 3 | 4 | 5 |'
    assert parameters.splitlines()[0] == '| parameters, million | all | STSN | FPN |'
    assert parameters.splitlines()[2:] == ['| a | 1.5 |  | 1.5 |', '| b | 2.0 | 1.0 | 1.0 |']
    assert flops.splitlines()[2] == '| a | 2.0 |  | 2.0 |'


def test_a_one_stage_detector():
    """SipMask's tracking branch by hand, on P3, P4 and P5: 8x12, 4x6 and 2x3 cells."""
    cost = model_cost(build_sipmask(), SIZE)
    assert set(cost.parameters) == set(cost.flops) == {'backbone', 'FPN', 'dense head', 'tracking'}
    tower = 2 * 2 * (8 * 12 + 4 * 6 + 2 * 3) * 32 * 32 * 9
    assert cost.flops['tracking'] == tower + 2 * 8 * 12 * 64 * 3 * 32
    align = 2 * (8 * 12 + 4 * 6 + 2 * 3) * (4 * 72 + 32 * 32 * 9) + 8 * (8 * 12 + 4 * 6 + 2 * 3) * 32 * 9
    assert cost.flops['dense head'] > align


@pytest.mark.slow
def test_a_model_of_clips():
    """STEm-Seg's class decoder by hand: clips of 8 frames, of which a frame pays a fourth, or an eighth."""
    cfg = Config.fromfile('configs/stem_seg/stem_seg_tiny_synthetic.py').model
    fit_num_classes(cfg, 5)
    quarter, eighth = (model_cost(MODELS.build(dict(cfg, clip_overlap=n)), (96, 128)) for n in (4, 0))
    assert (
        list(quarter.parameters)
        == ['backbone', 'FPN', 'embedding decoder', 'class decoder']
        == list(quarter.flops)
    )
    assert quarter.flops['class decoder'] == 2 * eighth.flops['class decoder']
    assert quarter.flops['FPN'] == eighth.flops['FPN'] and quarter.train_bytes > 0
    decoder = MODELS.build(dict(cfg.class_head, clip_length=8))
    cells = {'32x': (8, 3 * 4), '16x': (8, 6 * 8), '8x': (8, 12 * 16), '4x': (8, 24 * 32)}
    flops = 0
    for name, (frames, area) in cells.items():
        for layer in getattr(decoder, f'block_{name}'):
            if isinstance(layer, nn.Conv3d):
                flops += 2 * frames * area * layer.weight.numel()
            elif isinstance(layer, nn.AvgPool3d):
                frames //= 2
    for name, frames in (('16', 2), ('8', 4), ('4', 8)):  # where the levels' frames meet
        flops += 2 * frames * cells[f'{name}x'][1] * getattr(decoder, f'conv_{name}').weight.numel()
    flops += 2 * 8 * 24 * 32 * decoder.conv_out.weight.numel()
    assert eighth.flops['class decoder'] == flops // 8
