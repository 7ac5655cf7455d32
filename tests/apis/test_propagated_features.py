"""Propagated features are those that the branch's masks are made of."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from types import SimpleNamespace

import cv2
import pytest
import torch

import maskprop

maskprop.register_all()

from maskprop.apis.propagated_features import channel_activations, propagated_features  # noqa: E402
from maskprop.apis.views import load_views  # noqa: E402
from maskprop.engine import cli  # noqa: E402
from maskprop.methods.maskprop.frame_code import FrameCode  # noqa: E402
from tests.apis.oracle_set import make  # noqa: E402
from tests.engine.tiny_config import MASKPROP, tiny_config  # noqa: E402
from tests.helpers import write_tiny_ytvis  # noqa: E402

pytestmark = pytest.mark.slow

FRAMES = 6
TOOL = vars(import_module('maskprop.commands.plot_features'))


@pytest.fixture(scope='module')
def root(tmp_path_factory) -> Path:
    return write_tiny_ytvis(tmp_path_factory.mktemp('set'), videos=2, frames=FRAMES, size=(50, 70))


@pytest.fixture(scope='module')
def setting(root):
    """T = 1; offsets are not 0, so that the features do move."""
    model, dataset = make(root)
    with torch.no_grad():
        for conv in model.propagation_head.offset_convs:
            conv.weight.normal_(std=0.05)
    return model, dataset


class Mean(torch.nn.Module):
    """A stand-in for the aggregator: the mean of the neighbouring frames."""

    window, levels = 1, (0, 1, 2, 3)

    def aggregate(self, feats, supports, **_):
        return tuple(s.mean(1) if s is not None else f for f, s in zip(feats, supports, strict=True))


def whole_video(model, dataset, frame: int):
    """Codes of all frames with their features, and the frame's instances."""
    codes = []
    for index, view in load_views(model, dataset, 0, range(FRAMES)):
        codes.append(model.propagation_head.encode_features(view.feats, keep_features=True))
        if index == frame:
            instances = model.encode(view)
    return codes, instances


@torch.no_grad()
def test_the_branch_makes_its_masks_of_them(setting):
    model, dataset = setting
    head = model.propagation_head
    codes, frame = whole_video(model, dataset, 2)
    g = channel_activations(head, codes[2], codes, frame.masks, range(32))  # [S, N, C, H, W]
    assert g.shape == (FRAMES, len(frame), 32, *frame.masks.shape[1:]) and len(frame) > 1
    fused = g + torch.cat([code.features for code in codes])[:, None]
    logits = torch.einsum('c,snchw->snhw', head.mask_conv.weight[0, :, 0, 0], fused) + head.mask_conv.bias
    exp = logits.exp()
    masks = exp / (exp.sum(1, keepdim=True) + 1) * torch.cat([code.attention for code in codes])
    expected = head(frame.codes['propagation_head'], FrameCode.as_targets(codes), frame.masks)
    torch.testing.assert_close(masks, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize('aggregate', [False, True])
@torch.no_grad()
def test_maps_of_a_clip(setting, monkeypatch, aggregate):
    """One channel over the clip is that of all channels over the whole video, support frames included."""
    model, dataset = setting
    monkeypatch.setattr(model, 'aggregator', Mean() if aggregate else None)
    for frame, clip in ((0, range(0, 2)), (3, range(2, 5)), (FRAMES - 1, range(4, 6))):
        found = propagated_features(model, dataset, 0, frame, channel=5)
        assert found.frames == clip and found.channel == 5
        codes, instances = whole_video(model, dataset, frame)
        scores = [max(s.values()) for s in instances.class_scores]
        rows = sorted(range(len(scores)), key=lambda i: -scores[i])
        assert found.instances.rles == [instances.rles[row] for row in rows]
        g = channel_activations(model.propagation_head, codes[frame], codes, instances.masks[rows], range(32))
        torch.testing.assert_close(found.maps, g[clip.start : clip.stop, :, 5].abs())
        assert found.maps.amax() > 0


@torch.no_grad()
def test_the_channel_is_chosen_by_its_mean_square(setting):
    model, dataset = setting
    codes, instances = whole_video(model, dataset, 3)
    g = channel_activations(model.propagation_head, codes[3], [codes[3]], instances.masks, range(32))
    squares = [float((g[0, :, c] ** 2).mean()) for c in range(32)]
    assert propagated_features(model, dataset, 0, 3).channel == squares.index(max(squares))


def test_instances_and_complaints(setting):
    model, dataset = setting
    every, best = (propagated_features(model, dataset, 1, 2, 0, count) for count in (None, 1))
    assert len(every.instances) > 1 and len(best.instances) == 1
    assert max(best.instances.class_scores[0].values()) == max(
        max(scores.values()) for scores in every.instances.class_scores
    )
    torch.testing.assert_close(best.maps, every.maps[:, :1])
    with pytest.raises(ValueError, match='channel 32: the propagation head has channels 0 to 31'):
        propagated_features(model, dataset, 0, 0, 32)
    with pytest.raises(ValueError, match='no MaskPropagationHead'):
        propagated_features(SimpleNamespace(heads={}), dataset, 0, 0)


@pytest.fixture(scope='module')
def files(root, setting) -> list[str]:
    options = {
        'model__detector__test_cfg__rcnn__score_thr': 0.0,
        'model__detector__test_cfg__rcnn__max_per_img': 4,
        'model__propagation_head__mask_channel': True,
    }
    tiny_config(root, root / 'work', MASKPROP, **options).dump(str(root / 'plot.py'))
    meta = dict(dataset_meta={key: setting[1].metainfo[key] for key in ('classes', 'category_ids')})
    torch.save(dict(state_dict=setting[0].state_dict(), meta=meta), root / 'weights.pth')
    return [str(root / 'plot.py'), str(root / 'weights.pth')]


def run(*args: str) -> None:
    cli.run(TOOL['plot'], TOOL['parse_args'](list(args)))


def test_the_tool_draws_rows_and_columns(files, tmp_path, capsys):
    out = tmp_path / 'new/features.png'
    run(*files, '--video', '2', '--frame', '1', '--out', str(out), '--max-instances', '2', '--cell-width', '140',
        '--columns', '3')  # fmt: skip
    assert '2 instances, frames 0 to 3' in capsys.readouterr().out  # T = 2 in this config
    picture = cv2.imread(str(out))
    assert picture.shape[0] > 3 * 100 and picture.shape[1] > 3 * 140  # a row of frames and two of instances


@pytest.mark.parametrize(
    'args, message',
    [
        (['--video', '9', '--frame', '0'], '--video 9: '),
        (['--video', '1', '--frame', '6'], '--frame 6: video 1 has frames 0 to 5'),
        (['--video', '1', '--frame', '0', '--channel', '99'], 'channel 99: the propagation head has'),
        (['--video', '1', '--frame', '0', '--channel', 'x'], '--channel x: expected a number from 0, or auto'),
    ],
)
def test_the_tool_complains(files, tmp_path, capsys, args, message):
    with pytest.raises(SystemExit):
        run(*files, *args, '--out', str(tmp_path / 'f.png'))
    assert message in capsys.readouterr().err
    assert not (tmp_path / 'f.png').exists()
