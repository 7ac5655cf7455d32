"""Checkpoints are read safely, whatever is in the file; layouts are told apart."""

from __future__ import annotations

import os

import numpy as np
import pytest
import torch

from maskprop.conversion.state_dicts import check_files, read_state_dict, write_checkpoint
from maskprop.engine.checkpoint import CheckpointError, load_checkpoint_file
from maskprop.engine.state_dicts import find_layout


class Malicious:
    """Makes a folder when it is unpickled."""

    def __init__(self, path) -> None:
        self.path = str(path)

    def __reduce__(self):
        return os.mkdir, (self.path,)


STATE = {
    'backbone.conv1.weight': torch.arange(6.0).view(2, 3),
    'backbone.bn1.num_batches_tracked': torch.tensor(3),
}


def same(found, expected=STATE) -> bool:
    return set(found) == set(expected) and all(torch.equal(found[key], expected[key]) for key in expected)


def test_reads_what_trainings_write(tmp_path):
    prefixed = {f'module.{key}': value for key, value in STATE.items()}
    contents = dict(plain=STATE, nested=dict(state_dict=prefixed, meta=dict(epoch=3)), model=dict(model=STATE))
    for name, content in contents.items():
        torch.save(content, tmp_path / f'{name}.pth')
        assert same(read_state_dict(tmp_path / f'{name}.pth')), name
    # as PyTorch 1.1 wrote it, with which the reference was trained
    torch.save(contents['nested'], tmp_path / 'old.pth', _use_new_zipfile_serialization=False)
    assert same(read_state_dict(tmp_path / 'old.pth'))
    np.savez(tmp_path / 'arrays.npz', **{key: value.numpy() for key, value in STATE.items()})
    assert same(read_state_dict(tmp_path / 'arrays.npz'))


def test_no_code_is_run(tmp_path):
    made = tmp_path / 'made'
    torch.save(dict(state_dict=STATE, extra=Malicious(made)), tmp_path / 'bad.pth')
    with pytest.raises(CheckpointError, match='refused, it holds .*mkdir'):
        read_state_dict(tmp_path / 'bad.pth')
    np.savez(tmp_path / 'bad.npz', weight=np.array([Malicious(made)], dtype=object))
    with pytest.raises(CheckpointError, match='bad.npz: cannot be read as .npz'):
        read_state_dict(tmp_path / 'bad.npz')
    assert not made.exists()


def test_what_is_no_state_dict_is_said(tmp_path):
    for name in ('text.pth', 'text.npz'):
        (tmp_path / name).write_text('a text file')
        with pytest.raises(CheckpointError, match=f'{name}: cannot be read'):
            read_state_dict(tmp_path / name)
    np.save(tmp_path / 'one.npy', np.ones(3))
    (tmp_path / 'one.npy').rename(tmp_path / 'one.npz')
    np.savez(tmp_path / 'names.npz', names=np.array(['cat']))
    cases = {
        'one.npz': (None, 'one.npz: cannot be read as .npz'),
        'names.npz': (None, "found 'names': a list among names"),
        'tensor.pth': (torch.ones(2), 'expected a state dict.*, found a Tensor'),
        'number.pth': (dict(epoch=3), "found 'epoch': a int among epoch"),
        'nested.pth': (dict(state_dict=dict(a=dict(b=torch.ones(1)))), "found 'a': a dict of b among a"),
        'empty.pth': (dict(state_dict={}), 'found an empty one'),
    }
    for name, (content, message) in cases.items():
        if content is not None:
            torch.save(content, tmp_path / name)
        with pytest.raises(CheckpointError, match=message):
            read_state_dict(tmp_path / name)
    for name in ('nowhere.pth', 'nowhere.npz'):
        with pytest.raises(FileNotFoundError, match=f'{name}: no such file'):
            read_state_dict(tmp_path / name)


def test_layouts_by_their_names():
    layouts = {
        'mmdet 0.x or 1.x': ['backbone.conv1.weight', 'bbox_head.fc_cls.weight'],
        'mmdet 2.x or 3.x': ['backbone.conv1.weight', 'roi_head.bbox_head.0.fc_cls.weight'],
        'torchvision detection': ['backbone.body.conv1.weight', 'roi_heads.box_head.fc6.weight'],
        'detectron2': ['backbone.bottom_up.stem.conv1.weight', 'roi_heads_x'],
        'image classifier': ['conv1.weight', 'layer1.0.conv1.weight', 'fc.weight'],
        'this project': ['detector.backbone.conv1.weight', 'detector.roi_head.bbox_head.fc_cls.weight'],
        'mmdet one-stage or query detector': ['backbone.conv1.weight', 'bbox_head.retina_cls.weight'],
        None: ['encoder.weight', 'decoder.weight'],
    }
    for layout, names in layouts.items():
        assert find_layout({name: torch.ones(1) for name in names}) == layout


def test_written_whole_or_not_at_all(tmp_path):
    out = tmp_path / 'folder' / 'out.pth'
    write_checkpoint(out, STATE, dict(num_classes=3))
    content = load_checkpoint_file(out)
    assert same(content['state_dict']) and content['meta'] == dict(num_classes=3)
    with pytest.raises(AttributeError):  # a class that cannot be pickled
        write_checkpoint(out, STATE, dict(num_classes=lambda: 3))
    assert same(load_checkpoint_file(out)['state_dict'])
    assert [path.name for path in out.parent.iterdir()] == ['out.pth']


def test_output_that_cannot_be(tmp_path):
    source = tmp_path / 'in.pth'
    torch.save(STATE, source)
    check_files(source, tmp_path / 'out.pth')
    for out, message in (
        (source, 'is the source itself'),
        (tmp_path, 'is a folder'),
        (tmp_path / 'out.npz', 'ends in .pth'),
    ):
        with pytest.raises(CheckpointError, match=message):
            check_files(source, out)
