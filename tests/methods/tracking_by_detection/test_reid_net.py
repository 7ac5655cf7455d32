"""The appearance net: mmdet's ``BaseReID`` weight by weight where mmpretrain is installed, its losses."""

from __future__ import annotations

import pytest
import torch
from mmengine.config import Config

import maskprop

maskprop.register_all()

from mmdet.registry import MODELS  # noqa: E402
from mmdet.structures import ReIDDataSample  # noqa: E402

TINY = 'configs/tracking_by_detection/reid_tiny_synthetic.py'
PUBLISHED = 'configs/tracking_by_detection/trackers_htc_r50_fpn_ytvis2019.py'
IDENTITIES = [0, 0, 1, 1, 2, 2]


def batch() -> tuple[torch.Tensor, list[ReIDDataSample]]:
    crops = torch.rand(6, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    return crops, [ReIDDataSample().set_gt_label(torch.tensor(IDENTITIES))]


def build(**head) -> torch.nn.Module:
    torch.manual_seed(0)
    cfg = Config.fromfile(TINY).model
    cfg.head.update(head)
    return MODELS.build(cfg)


def test_every_parameter_learns():
    net = build(num_classes=3).train()
    losses = net(*batch(), mode='loss')
    assert set(losses) == {'triplet_loss', 'ce_loss'}
    sum(losses.values()).backward()
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in net.parameters())


def test_triplet_loss_is_the_hardest_triplets():
    """By hand: the margin, plus the farthest of the same identity, minus the nearest of the others."""
    net = build(loss_triplet=dict(type='TripletLoss', margin=1.0)).eval()
    torch.nn.init.normal_(net.head.fc_out.weight, std=5)  # distances of the margin's size
    crops, samples = batch()
    embeds = net(crops, mode='tensor').detach()
    distances = torch.cdist(embeds, embeds)
    same = torch.tensor(IDENTITIES)[:, None] == torch.tensor(IDENTITIES)
    farthest = torch.where(same, distances, -1).amax(1)
    nearest = torch.where(same, torch.inf, distances).amin(1)
    expected = (1.0 + farthest - nearest).clamp(min=0).mean()
    found = net(crops, samples, mode='loss')['triplet_loss'].item()
    assert found == pytest.approx(expected.item(), rel=1e-3)
    assert abs(expected.item() - 1.0) > 0.1, 'all embeddings are the same'


def test_predictions_go_to_their_samples():
    net = build().eval()
    crops, _ = batch()
    samples = net(crops, [ReIDDataSample() for _ in crops], mode='predict')
    assert torch.equal(torch.stack([s.pred_feature for s in samples]), net(crops))
    with pytest.raises(ValueError, match='unknown'):
        net(crops, mode='test')


def test_classifier_without_a_number_of_identities_says_so():
    with pytest.raises(ValueError, match='num_classes'):
        build(num_classes=None)
    with pytest.raises(ValueError, match='identity is 2'):
        build(num_classes=2)(*batch(), mode='loss')


def test_preprocessor_joins_the_samples():
    preprocessor = build().data_preprocessor
    bgr = torch.randint(0, 256, (5, 3, 8, 6), dtype=torch.uint8)
    found = preprocessor(dict(inputs=[bgr[:2], bgr[2:]], data_samples=None))['inputs']
    mean, std = torch.tensor([123.675, 116.28, 103.53]), torch.tensor([58.395, 57.12, 57.375])
    expected = (bgr.float().flip(1) - mean.view(3, 1, 1)) / std.view(3, 1, 1)
    assert torch.allclose(found, expected, atol=1e-5)


def published_net() -> Config:
    cfg = Config.fromfile(PUBLISHED).variants.deepsort.linker.reid.copy()
    cfg.pop('init_cfg')
    return cfg


@pytest.mark.slow
def test_published_net_has_the_names_and_shapes_of_mmdets():
    """A part of them, by heart: mmdet's ResNet-50, two layers, 128 channels."""
    state = {name: tuple(weight.shape) for name, weight in MODELS.build(published_net()).state_dict().items()}
    assert state['backbone.layer4.2.conv3.weight'] == (2048, 512, 1, 1)
    assert state['head.fcs.0.fc.weight'] == (1024, 2048)
    assert state['head.fcs.0.bn.running_mean'] == (1024,)
    assert state['head.fc_out.weight'] == (128, 1024)


def test_published_net_is_mmdets():
    pytest.importorskip('mmpretrain', reason="mmdet's BaseReID: docs/methods/tracking_by_detection.md")
    from mmengine.hub import get_config

    cfg = get_config('mmdet::deepsort/deepsort_faster-rcnn_r50_fpn_8xb2-4e_mot17halftrain_test-mot17halfval.py')
    theirs_cfg = cfg.model.reid
    assert theirs_cfg.pop('init_cfg') == Config.fromfile(PUBLISHED).variants.deepsort.linker.reid.init_cfg
    torch.manual_seed(0)
    theirs, ours = MODELS.build(theirs_cfg).eval(), MODELS.build(published_net()).eval()
    missing, unexpected = ours.load_state_dict(theirs.state_dict(), strict=False)
    assert not missing
    assert all(name.startswith(('head.classifier', 'head.bn')) for name in unexpected)
    crops = torch.randn(2, 3, 256, 128)
    with torch.no_grad():
        assert torch.equal(ours(crops), theirs(crops))
