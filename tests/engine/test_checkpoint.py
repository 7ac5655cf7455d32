from __future__ import annotations

import io
import os
import pickle
import urllib.error
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.logging import HistoryBuffer
from mmengine.model import BaseModule
from mmengine.runner import CheckpointLoader, load_checkpoint
from safetensors.torch import save as save_tensors
from torch import nn

from maskprop.engine.checkpoint import CheckpointError, load_checkpoint_file, load_url


class Malicious:
    """Makes a file when it is unpickled."""

    def __init__(self, path: Path, function=os.mkdir) -> None:
        self.path = str(path)
        self.function = function

    def __reduce__(self):
        return self.function, (self.path,)


class GetattrGadget:
    """Reaches a function by getattr, which mmengine's own list of safe classes would allow."""

    def __reduce__(self):
        return getattr, (HistoryBuffer, 'register_statistics')


class Foreign:
    pass


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(2, 2)


def save(path: Path, content) -> Path:
    torch.save(content, path)
    return path


LOADERS = {
    'file': load_checkpoint_file,
    'mmengine': lambda path: CheckpointLoader.load_checkpoint(str(path)),
    'mmengine_to_model': lambda path: load_checkpoint(Net(), str(path)),
    'pretrained': lambda path: pretrained(path).init_weights(),
    'cached_download': lambda path: load_url('https://example.invalid/' + path.name, model_dir=str(path.parent)),
    'mmengine_download': lambda path: download_through_mmengine(path),
    'buffer': lambda path: load_checkpoint_file(path.open('rb')),
}


def pretrained(path: Path) -> BaseModule:
    module = BaseModule(init_cfg=dict(type='Pretrained', checkpoint=str(path)))
    module.layer = nn.Linear(2, 2)
    return module


def download_through_mmengine(path: Path):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.hub, '_hub_dir', str(path.parent))
        target = path.parent / 'checkpoints' / path.name
        target.parent.mkdir(exist_ok=True)
        target.write_bytes(path.read_bytes())
        return CheckpointLoader.load_checkpoint('https://example.invalid/' + path.name)


@pytest.mark.parametrize('route', LOADERS)
def test_code_in_a_checkpoint_is_refused_and_not_run(tmp_path, route):
    target = tmp_path / 'made_by_the_checkpoint'
    path = save(tmp_path / 'bad.pth', dict(state_dict=Net().state_dict(), meta=dict(x=Malicious(target))))
    with pytest.raises(CheckpointError, match=r'refused.*(posix|os)\.mkdir') as error:
        LOADERS[route](path)
    assert not target.exists()
    assert 'bad.pth' in str(error.value) or route == 'buffer'


@pytest.mark.parametrize('route', LOADERS)
def test_the_same_checkpoint_without_it_loads(tmp_path, route):
    path = save(tmp_path / 'good.pth', dict(state_dict=Net().state_dict(), meta=dict(x=1)))
    LOADERS[route](path)


def test_test_is_able_to_fail(tmp_path):
    """The malicious file does what it says when it is loaded the unsafe way."""
    target = tmp_path / 'made_by_the_checkpoint'
    torch.load(save(tmp_path / 'bad.pth', Malicious(target)), weights_only=False)
    assert target.exists()


@pytest.mark.parametrize(
    ('content', 'name'),
    [(Foreign(), 'Foreign'), (GetattrGadget(), 'register_statistics'), (Path('x'), 'Path'),
     (np.array([Foreign()], dtype=object), 'Foreign|ObjectDType')],
)  # yapf: disable
def test_other_classes_are_named(tmp_path, content, name):
    path = save(tmp_path / 'foreign.pth', dict(meta=content))
    with pytest.raises(CheckpointError, match=f'foreign.pth: refused.*({name})'):
        load_checkpoint_file(path)


def test_what_mmengine_saves_is_allowed(tmp_path):
    logs = HistoryBuffer()
    logs.update(2.5)
    content = dict(
        logs=logs,
        arrays=[np.ones(3, dtype=d) for d in (np.int64, np.uint8, np.float32, bool)],
        scalar=np.float64(0.5),
        counts=np.int32(4),
    )
    loaded = load_checkpoint_file(save(tmp_path / 'ok.pth', content))
    assert loaded['logs'].statistics('mean') == 2.5
    assert loaded['scalar'] == 0.5 and loaded['counts'] == 4
    for found, expected in zip(loaded['arrays'], content['arrays'], strict=True):
        assert found.dtype == expected.dtype and np.array_equal(found, expected)


@pytest.mark.parametrize('content', [b'not a checkpoint', b'PK\x03\x04 cut short'])
def test_a_damaged_file_is_named(tmp_path, content):
    path = tmp_path / 'damaged.pth'
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match='damaged.pth: cannot be read'):
        load_checkpoint_file(path)


def zip_of(*names: str) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, 'w') as archive:
        for name in names:
            archive.writestr(name, 'text')
    return content.getvalue()


OTHER_FILES = dict(
    empty=(b'', 'it is empty'),
    safetensors=(
        save_tensors({'w': torch.zeros(2)}),
        r'it is a safetensors file: rename it to other\.safetensors',
    ),
    gzip=(b'\x1f\x8b\x08', 'gunzip'),
    web_page=(b'<!DOCTYPE html><html>Not found</html>', 'web page'),
    git_lfs=(b'version https://git-lfs.github.com/spec/v1', 'git lfs pull'),
    zip=(zip_of('photos/a.txt'), 'a zip of other files'),
    script=(zip_of('net/data.pkl', 'net/constants.pkl'), 'TorchScript'),
)


@pytest.mark.parametrize('kind', OTHER_FILES)
def test_a_file_of_another_kind_is_told(tmp_path, kind):
    content, said = OTHER_FILES[kind]
    path = tmp_path / 'other.pth'
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=f'other.pth: cannot be read: .*{said}'):
        load_checkpoint_file(path)


def test_a_pickle_that_is_no_checkpoint_says_no_more_than_that(tmp_path):
    path = tmp_path / 'plain.pth'
    path.write_bytes(pickle.dumps(dict(a=1)))
    with pytest.raises(CheckpointError, match='plain.pth: cannot be read.*Unsupported operand') as error:
        load_checkpoint_file(path)
    assert 'documentation' not in str(error.value)


def test_a_folder_is_no_missing_file(tmp_path):
    with pytest.raises(IsADirectoryError, match='is a folder'):
        load_checkpoint_file(tmp_path)


def test_a_file_cut_short_is_named(tmp_path):
    path = save(tmp_path / 'short.pth', dict(state_dict=Net().state_dict()))
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(CheckpointError, match='short.pth: cannot be read'):
        CheckpointLoader.load_checkpoint(str(path))


def a_byte_changed(path: Path, at: int) -> Path:
    content = bytearray(path.read_bytes())
    content[at] ^= 1
    path.write_bytes(content)
    return path


def place_of_a_weight(path: Path) -> int:
    return path.read_bytes().index(np.arange(40, dtype=np.float32).tobytes()) + 80


@pytest.mark.parametrize('route', LOADERS)
def test_a_changed_weight_is_found(tmp_path, route):
    path = save(tmp_path / 'bad.pth', dict(Net().state_dict(), w=torch.arange(40.0)))
    a_byte_changed(path, place_of_a_weight(path))
    with pytest.raises(CheckpointError, match='its record bad/data/2 is damaged .*CRC-32.*again') as error:
        LOADERS[route](path)
    assert 'bad.pth' in str(error.value) and 'earlier epoch' in str(error.value)


@pytest.mark.parametrize('kind', ['without sums', 'before torch 1.6'])
def test_files_without_sums_load(tmp_path, kind):
    path = tmp_path / 'plain.pth'
    torch.serialization.set_crc32_options(kind != 'without sums')
    try:
        torch.save(dict(w=torch.arange(40.0)), path, _use_new_zipfile_serialization=kind == 'without sums')
    finally:
        torch.serialization.set_crc32_options(True)
    for file in (path, a_byte_changed(path, place_of_a_weight(path))):
        assert load_checkpoint_file(file)['w'].shape == (40,)


def test_a_changed_weight_is_not_hidden_by_a_changed_list(tmp_path):
    """torch.load finds the list of records that Python does not."""
    path = save(tmp_path / 'bad.pth', dict(w=torch.arange(40.0)))
    a_byte_changed(path, place_of_a_weight(path))
    a_byte_changed(path, path.stat().st_size - 42)  # the mark of where the list's end is told
    assert torch.load(path, weights_only=True)
    with pytest.raises(CheckpointError, match='bad.pth: cannot be read, it is damaged'):
        load_checkpoint_file(path)


def test_a_change_is_refused_or_changes_nothing(tmp_path):
    content = dict(meta=dict(epoch=1), state_dict=dict(w=torch.arange(3.0)))
    path = save(tmp_path / 'net.pth', content)
    refused, size = 0, path.stat().st_size
    for at in {*range(0, size, 7), *range(size - 22, size)}:
        a_byte_changed(path, at)
        try:
            found = load_checkpoint_file(path)
            assert found['meta'] == content['meta']
            assert torch.equal(found['state_dict']['w'], content['state_dict']['w'])
        except CheckpointError:
            refused += 1
        a_byte_changed(path, at)
    assert refused > 30


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match='nowhere.pth'):
        load_checkpoint_file(tmp_path / 'nowhere.pth')


@pytest.mark.parametrize('address', ['https://example.invalid/r50.pth', 'torchvision://resnet50'])
def test_offline_says_where_to_put_the_file(tmp_path, monkeypatch, address):
    def offline(*args, **kwargs):
        raise urllib.error.URLError('Name or service not known')

    monkeypatch.setattr(torch.hub, 'download_url_to_file', offline)
    monkeypatch.setattr(torch.hub, 'get_dir', lambda: str(tmp_path))
    with pytest.raises(ConnectionError, match=f'put it at {tmp_path}/checkpoints/r(es)?n?e?t?50'):
        CheckpointLoader.load_checkpoint(address)
