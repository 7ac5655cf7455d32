"""Published weights: the same results by the file alone, no code in it, clear errors; from the Hub's cache too."""

from __future__ import annotations

import hashlib
import json
import sys
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

import maskprop

maskprop.register_all()

from maskprop.apis import inference_video, init_model  # noqa: E402
from maskprop.apis import test as run_test  # noqa: E402
from maskprop.apis.publish import publish_model  # noqa: E402
from maskprop.engine.checkpoint import CheckpointError  # noqa: E402
from maskprop.engine.config import ConfigError, load_config  # noqa: E402
from maskprop.engine.published import read_config_text  # noqa: E402
from maskprop.zoo import DownloadError, hub_file  # noqa: E402
from tests.apis.fake_video_model import make_video  # noqa: E402
from tests.engine.tiny_config import MASKPROP, tiny_config  # noqa: E402
from tests.helpers import write_tiny_ytvis  # noqa: E402


@pytest.fixture(scope='module')
def root(tmp_path_factory) -> Path:
    return write_tiny_ytvis(tmp_path_factory.mktemp('set'))


@pytest.fixture(scope='module')
def checkpoint(root, tmp_path_factory) -> Path:
    """As a training leaves it: weights, optimizer, config text, classes."""
    folder = tmp_path_factory.mktemp('training')
    cfg = tiny_config(root, folder, file=MASKPROP)
    torch.manual_seed(0)
    model = init_model(cfg, device='cpu')
    weights = model.state_dict()
    name = next(iter(weights))
    weights[name] = weights[name].expand_as(weights[name])
    meta = dict(cfg=cfg.pretty_text, dataset_meta=model.dataset_meta, epoch=3, iter=30)
    torch.save(
        dict(state_dict=weights, optimizer=dict(state={0: torch.ones(9)}), meta=meta), folder / 'epoch_3.pth'
    )
    return folder / 'epoch_3.pth'


@pytest.fixture(scope='module')
def published(checkpoint, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp('published')
    (folder / 'metrics.json').write_text(json.dumps({'AP': 41.5, 'per_category': {'cat': 1}}))
    file, card = publish_model(checkpoint, folder / 'new/mine', metrics=folder / 'metrics.json', license='MIT')
    assert sorted((folder / 'new').iterdir()) == sorted([file, card])
    return file


def test_the_name_has_the_digest_and_the_card_says_what_it_is(published):
    digest = hashlib.sha256(published.read_bytes()).hexdigest()
    assert published.name == f'mine-{digest[:8]}.safetensors'
    card = published.with_suffix('.md').read_text()
    for text in (
        published.name,
        digest,
        '| AP | 41.5 |',
        'license: MIT',
        '3 epochs, 30 iterations',
        'VideoMaskRCNN',
    ):
        assert text in card
    with safe_open(published, 'pt') as file:
        metadata = file.metadata()
    assert json.loads(metadata['metrics']) == {'AP': 41.5} and 'work_dir' not in metadata['config']


@pytest.mark.slow
def test_results_are_those_of_the_checkpoint(published, checkpoint, root, tmp_path):
    video = make_video(5)
    cfg = tiny_config(root, tmp_path, file=MASKPROP)
    expected = inference_video(init_model(cfg, checkpoint, 'cpu'), video)
    assert expected
    for args in ((published,), (str(published), published), (cfg, published)):
        model = init_model(*args, device='cpu')
        assert inference_video(model, video) == expected
        saved = torch.load(checkpoint, weights_only=True)['state_dict']
        assert all(torch.equal(value, saved[name]) for name, value in model.state_dict().items())


def test_half_precision_leaves_out_biases_and_norms(checkpoint, published, tmp_path):
    file, _ = publish_model(checkpoint, tmp_path / 'half', half=True)
    assert file.stat().st_size < 0.65 * published.stat().st_size
    saved = torch.load(checkpoint, weights_only=True)['state_dict']
    for name, value in load_file(file).items():
        expected = saved[name].half() if saved[name].ndim > 1 else saved[name]
        assert value.dtype == expected.dtype and torch.equal(value, expected), name
    model = init_model(file, device='cpu')
    assert {value.dtype for value in model.parameters()} == {torch.float32}


@pytest.mark.slow
def test_the_tools_take_the_file_alone(published, checkpoint, root, tmp_path):
    found = run_test(str(published), published, work_dir=tmp_path / 'a', out=tmp_path / 'a.json')
    expected = run_test(load_config(str(published)), checkpoint, work_dir=tmp_path / 'b', out=tmp_path / 'b.json')
    assert found == expected and (tmp_path / 'a.json').read_text() == (tmp_path / 'b.json').read_text()


def test_the_config_is_the_same_and_nothing_of_it_is_run(published, root, tmp_path):
    cfg = tiny_config(root, tmp_path, file=MASKPROP)
    read = load_config(str(published))
    assert (
        read.model == cfg.model and read.test_dataloader.dataset.pipeline == cfg.test_dataloader.dataset.pipeline
    )
    values = dict(a=(1, (2,)), b=[float('inf'), -float('inf'), -1.5], c={'x y': None, 3: True}, d='text')
    from mmengine.config import Config

    assert read_config_text(Config(values).pretty_text) == values
    marker = tmp_path / 'run'
    for text in (
        f'a = open({str(marker)!r}, "w")',
        f'import pathlib\npathlib.Path({str(marker)!r}).touch()',
        f'a = dict(b=__import__("pathlib").Path({str(marker)!r}).touch())',
        'a = dict(**{"b": 1})',
        'a += 1',
        'a = [x for x in (1, 2)]',
        'a = ' + '(' * 500 + ')' * 500,
        'a = (',
    ):
        with pytest.raises(ValueError):
            read_config_text(text)
    assert not marker.exists()


def test_modules_that_a_config_names_are_not_imported(published, tmp_path, monkeypatch):
    (tmp_path / 'evil_module.py').write_text('raise SystemExit("imported")')
    monkeypatch.syspath_prepend(tmp_path)
    weights = torch.nn.Linear(1, 1).state_dict()
    text = "model = dict(type='None')\ncustom_imports = dict(imports=['evil_module'])\n"
    save_file(weights, tmp_path / 'a.safetensors', dict(config=text, dataset_meta='{"classes": ["a"]}'))
    cfg = load_config(str(tmp_path / 'a.safetensors'))
    assert cfg.custom_imports.imports == ['evil_module'] and 'evil_module' not in sys.modules


@pytest.mark.parametrize('kind', ['cut', 'text', 'empty', 'no config', 'code', 'damaged classes'])
def test_files_that_are_something_else(published, tmp_path, kind):
    path = tmp_path / 'a.safetensors'
    weights = torch.nn.Linear(1, 1).state_dict()
    if kind == 'no config':
        save_file(weights, path)
        with pytest.raises(ConfigError, match='a.safetensors: has weights and no config. Name its config'):
            init_model(path)
        return
    if kind == 'code':
        save_file(weights, path, dict(config='import os'))
    elif kind == 'damaged classes':
        save_file(weights, path, dict(config='a = 1', dataset_meta='{'))
        path_and_config = (load_config(str(published)), path)
        with pytest.raises(CheckpointError, match='a.safetensors'):
            init_model(*path_and_config)
        return
    else:
        content = published.read_bytes()
        path.write_bytes({'cut': content[: len(content) // 2], 'text': b'no weights' * 9, 'empty': b''}[kind])
    with pytest.raises(CheckpointError, match='a.safetensors'):
        init_model(path)


@pytest.mark.parametrize('dtype', [torch.bfloat16, torch.float16])
def test_other_dtypes_and_shared_tensors(checkpoint, tmp_path, dtype):
    content = torch.load(checkpoint, weights_only=True)
    value = torch.arange(12.0).reshape(3, 4).to(dtype)
    content['state_dict'] = dict(a=value, b=value, c=value.T, d=value[1:])
    torch.save(content, tmp_path / 'x.pth')
    file, _ = publish_model(tmp_path / 'x.pth', tmp_path / 'x')
    with safe_open(file, 'pt') as found:
        for name, expected in content['state_dict'].items():
            assert torch.equal(found.get_tensor(name), expected) and found.get_tensor(name).dtype == dtype


@pytest.mark.parametrize('missing', ['state_dict', 'cfg', 'dataset_meta'])
def test_what_a_checkpoint_lacks_is_named(checkpoint, tmp_path, missing):
    content = torch.load(checkpoint, weights_only=True)
    (content if missing == 'state_dict' else content['meta']).pop(missing)
    torch.save(content, tmp_path / 'x.pth')
    with pytest.raises(CheckpointError, match=missing):
        publish_model(tmp_path / 'x.pth', tmp_path / 'out/x')
    assert not list(tmp_path.glob('out/*'))


def put_into_hub(files: dict[str, bytes], cache: Path, repository: str = 'models--me--mine') -> None:
    """A folder as huggingface_hub leaves it."""
    snapshot = cache / repository / 'snapshots/0123abcd'
    snapshot.mkdir(parents=True)
    (cache / repository / 'refs').mkdir()
    (cache / repository / 'refs/main').write_text('0123abcd')
    for name, content in files.items():
        (snapshot / name).write_bytes(content)


@pytest.mark.slow
def test_from_the_hubs_cache(published, checkpoint, root, tmp_path, monkeypatch):
    pytest.importorskip('huggingface_hub')
    from huggingface_hub import constants

    monkeypatch.setattr(constants, 'HF_HUB_CACHE', str(tmp_path))
    monkeypatch.setattr(constants, 'HF_HUB_OFFLINE', True)
    put_into_hub({published.name: published.read_bytes(), 'README.md': b'card'}, tmp_path)
    for address in ('hf://me/mine', f'hf://me/mine/{published.name}', 'hf://me/mine@main'):
        assert hub_file(address).read_bytes() == published.read_bytes()
    expected = inference_video(init_model(published, device='cpu'), make_video(3))
    assert inference_video(init_model('hf://me/mine', device='cpu'), make_video(3)) == expected
    put_into_hub({'a.safetensors': b'', 'b.safetensors': b''}, tmp_path, 'models--me--two')
    with pytest.raises(DownloadError, match='has 2 such files: name one of hf://me/two/a.safetensors'):
        hub_file('hf://me/two')
    with pytest.raises(DownloadError, match='cannot download hf://me/other.*Without network'):
        hub_file('hf://me/other')
    with pytest.raises(DownloadError, match='expected hf://OWNER/NAME'):
        hub_file('hf://me')
    monkeypatch.setattr(
        'huggingface_hub.HfApi.list_repo_files', lambda *_, **__: ['a.safetensors', 'b.safetensors', 'README.md']
    )
    monkeypatch.setattr('huggingface_hub.snapshot_download', lambda *_, **__: pytest.fail('downloaded'))
    with pytest.raises(DownloadError, match='has 2 such files: name one of hf://me/big/a.safetensors'):
        hub_file('hf://me/big')
    monkeypatch.setitem(sys.modules, 'huggingface_hub', None)
    with pytest.raises(DownloadError, match=r'pip install "maskprop\[hub\]"'):
        hub_file('hf://me/mine')
