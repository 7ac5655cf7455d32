"""DIS and RAFT: direction and units of the flow, RAFT's input, its weights' errors."""

import urllib.error

import numpy as np
import pytest
import torch
from torchvision.models.optical_flow import Raft_Small_Weights, raft_small

from maskprop.methods.flow import flow_estimators
from maskprop.methods.flow.flow_estimators import DISFlow, RAFTFlow
from tests.methods.flow.flow_scenes import texture


@pytest.mark.parametrize('preset', ['ultrafast', 'fast', 'medium'])
def test_dis_finds_a_translation(preset):
    """The second image shows everything 5 px further right and 3 px further up."""
    scene = texture(120, 160)
    first, second = scene[:, 10:106, 10:138], scene[:, 13:109, 5:133]
    flow = DISFlow(preset).estimate(torch.stack([first, second]), torch.stack([second, first]))
    assert flow.shape == (2, 2, 96, 128) and flow.dtype == torch.float32
    inner = flow[..., 16:-16, 16:-16].median(-1)[0].median(-1)[0]
    assert inner.numpy() == pytest.approx(np.array([[5, -3], [-5, 3]]), abs=0.3)


def test_dis_sees_rgb_as_luma():
    """Red on green of the same luma is no texture: the flow that a luma image of the same values gives."""
    first, second = texture(64, 96), texture(64, 96, seed=1)
    weights = torch.tensor([0.299, 0.587, 0.114])[:, None, None]
    grey = [(image * weights).sum(0).round().byte().expand(3, -1, -1) for image in (first, second)]
    found = DISFlow().estimate(first[None], second[None])
    torch.testing.assert_close(found, DISFlow().estimate(grey[0][None], grey[1][None]), atol=0.3, rtol=0.1)


@pytest.mark.parametrize('make', [lambda: DISFlow('slow'), lambda: RAFTFlow(arch='raft_tiny', weights=None)])
def test_unknown_choices_are_named(make):
    with pytest.raises(ValueError, match='is unknown; choose one of'):
        make()


@pytest.mark.slow
def test_raft_sees_what_torchvision_wants():
    """Values through torchvision's own transform, edges repeated to the right and below; the result cut back."""
    torch.manual_seed(0)
    estimator = RAFTFlow(weights=None, num_flow_updates=2)
    first, second = texture(132, 140), texture(132, 140, seed=1)
    inputs = Raft_Small_Weights.DEFAULT.transforms()(first[None], second[None])
    rows, columns = torch.arange(136).clamp(max=131), torch.arange(144).clamp(max=139)
    padded = [image[:, :, rows][..., columns] for image in inputs]
    with torch.no_grad():
        expected = estimator.net(*padded, num_flow_updates=2)[-1][..., :132, :140]
    found = estimator.estimate(first[None], second[None])
    assert found.shape == (1, 2, 132, 140)
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-4)


@pytest.mark.slow
def test_large_raft_takes_small_images_in_pairs():
    estimator = RAFTFlow(arch='raft_large', weights=None, num_flow_updates=1)
    images = torch.stack([texture(40, 68), texture(40, 68, seed=1)])
    flow = estimator.estimate(images, images.flip(0))
    assert flow.shape == (2, 2, 40, 68) and flow.isfinite().all()
    assert not any(p.requires_grad for p in estimator.net.parameters()) and not estimator.net.training


def test_raft_reads_a_state_dict(tmp_path):
    torch.manual_seed(3)
    state = raft_small(weights=None).state_dict()
    torch.save(state, tmp_path / 'raft.pth')
    found = RAFTFlow(weights=str(tmp_path / 'raft.pth')).net.state_dict()
    assert all(torch.equal(found[name].cpu(), value) for name, value in state.items())
    with pytest.raises(ValueError, match=r"is no state dict of torchvision's raft_large"):
        RAFTFlow(arch='raft_large', weights=str(tmp_path / 'raft.pth'))
    (tmp_path / 'text.pth').write_text('no weights')
    with pytest.raises(ValueError, match=r"is no state dict of torchvision's raft_small"):
        RAFTFlow(weights=str(tmp_path / 'text.pth'))
    with pytest.raises(ValueError, match='neither a file nor the name of weights for raft_small.*C_T_V2'):
        RAFTFlow(weights='C_T_V9')


def test_weights_are_taken_from_the_cache(tmp_path, monkeypatch):
    monkeypatch.setattr('torch.hub._hub_dir', None)  # else TORCH_HOME doesn't count
    monkeypatch.setenv('TORCH_HOME', str(tmp_path))
    torch.manual_seed(4)
    state = raft_small(weights=None).state_dict()
    file = tmp_path / 'hub' / 'checkpoints' / 'raft_small_C_T_V2-01064c6d.pth'
    file.parent.mkdir(parents=True)
    torch.save(state, file)
    found = RAFTFlow().net.state_dict()
    assert all(torch.equal(found[name].cpu(), value) for name, value in state.items())


def test_without_a_network_the_error_says_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setattr('torch.hub._hub_dir', None)  # else TORCH_HOME doesn't count
    monkeypatch.setenv('TORCH_HOME', str(tmp_path))
    flow_estimators._build_raft.cache_clear()

    def fail(*args, **kwargs):
        raise urllib.error.URLError('no network')

    monkeypatch.setattr('torch.hub.download_url_to_file', fail)
    with pytest.raises(OSError) as raised:
        RAFTFlow()
    message = str(raised.value)
    assert 'https://download.pytorch.org/models/raft_small_C_T_V2-01064c6d.pth' in message
    assert str(tmp_path / 'hub' / 'checkpoints' / 'raft_small_C_T_V2-01064c6d.pth') in message
    assert 'flow.weights' in message and 'no network' in message
