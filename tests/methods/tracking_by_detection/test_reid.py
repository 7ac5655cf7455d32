"""The appearance net of DeepSORT: loaded once, with exactly its weights, or a clear error."""

from __future__ import annotations

from urllib.error import URLError

import pytest
import torch

import maskprop

maskprop.register_all()

from mmdet.registry import MODELS  # noqa: E402

from maskprop.engine.checkpoint import CheckpointError  # noqa: E402
from maskprop.methods.tracking_by_detection.reid import check_reid, load_reid, normalize  # noqa: E402
from tests.methods.tracking_by_detection.test_mmdet_tracker_linker import REID  # noqa: E402

URL = 'https://example.invalid/reid.pth'


def with_weights(checkpoint) -> dict:
    return dict(REID, init_cfg=dict(type='Pretrained', checkpoint=str(checkpoint)))


def test_it_has_the_weights_and_is_loaded_once(tmp_path):
    net = MODELS.build(REID)
    torch.save(dict(state_dict=net.state_dict()), tmp_path / 'reid.pth')
    loaded = load_reid(with_weights(tmp_path / 'reid.pth'))
    assert not loaded.training
    assert all(torch.equal(loaded.state_dict()[name], weight) for name, weight in net.state_dict().items())
    (tmp_path / 'reid.pth').rename(tmp_path / 'other.pth')
    assert load_reid(with_weights(tmp_path / 'reid.pth')) is loaded
    assert load_reid(with_weights(tmp_path / 'other.pth')) is not loaded


def test_weights_that_are_missing_or_do_not_fit(tmp_path):
    with pytest.raises(FileNotFoundError, match=r'none.pth: no such file. Train a net by: maskprop train'):
        check_reid(with_weights(tmp_path / 'none.pth'))
    state = MODELS.build(REID).state_dict()
    state.pop('head.fc_out.bias')
    torch.save(state, tmp_path / 'part.pth')
    with pytest.raises(CheckpointError, match='head.fc_out.bias'):
        load_reid(with_weights(tmp_path / 'part.pth'))


def test_without_network_it_says_where_to_put_the_file(tmp_path, monkeypatch):
    monkeypatch.setattr(torch.hub, 'get_dir', lambda: str(tmp_path))

    def fail(*args, **kwargs):
        raise URLError('no route to host')

    monkeypatch.setattr('maskprop.zoo.downloads.urlopen', fail)
    with pytest.raises(ConnectionError, match='no route to host') as error:
        load_reid(with_weights(URL))
    said = str(error.value)
    assert str(tmp_path / 'checkpoints' / 'reid.pth') in said
    assert "or compare the track head's embeddings: reid='embeds'" in said
    assert 'load_from' not in said, 'advice for another case'
    # put there, it is taken
    torch.save(MODELS.build(REID).state_dict(), tmp_path / 'checkpoints' / 'reid.pth')
    assert load_reid(with_weights(URL)).head.out_channels == 8


def test_images_are_normalised_as_in_training():
    """The net's own preprocessor on the same picture, as the data set gives it (BGR), against the stream's RGB."""
    net = MODELS.build(REID)
    bgr = torch.randint(0, 256, (3, 5, 7), dtype=torch.uint8)
    expected = net.data_preprocessor(dict(inputs=[bgr[None]], data_samples=None))['inputs']
    assert torch.equal(normalize(bgr.flip(0), REID), expected)
