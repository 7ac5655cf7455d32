"""tools/train.py, tools/test.py and their scripts, on a tiny set."""

from __future__ import annotations

import json
import os
import runpy
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.hooks import LoggerHook

import maskprop

maskprop.register_all()

from maskprop.engine import cli  # noqa: E402
from maskprop.engine.checkpoint import CheckpointError  # noqa: E402
from maskprop.engine.config import (  # noqa: E402
    ConfigError,
    Outputs,
    find_last_checkpoint,
    load_config,
    prepare_testing,
)
from maskprop.engine.launch import LaunchError  # noqa: E402
from maskprop.evaluation.validation import EvalInputError  # noqa: E402
from maskprop.utils.folder_lock import hold_folder  # noqa: E402
from tests.engine.ranks import run_ranks  # noqa: E402
from tests.engine.tiny_config import MASKPROP, STAND_IN, quick_runs, tiny_config  # noqa: E402
from tests.helpers import write_tiny_ytvis  # noqa: E402

ROOT = Path(__file__).parents[2]
TABLE = ('AP', 'AP50', 'AP75', 'APs', 'APm', 'APl', 'AR1', 'AR10', 'AR100', 'ARs', 'ARm', 'ARl')


@pytest.fixture(autouse=True, scope='module')
def quick():
    with quick_runs():
        yield


@pytest.fixture(scope='module')
def root(tmp_path_factory) -> Path:
    return write_tiny_ytvis(tmp_path_factory.mktemp('set'))


def write_config(root: Path, folder: Path, base: Path = STAND_IN, **options) -> str:
    """A config file in ``folder`` with its work folder beside it."""
    cfg = tiny_config(root, folder / 'work', file=base, **options)
    cfg.pop('experiment_name')
    path = folder / f'{folder.name}.py'
    cfg.dump(str(path))
    return str(path)


def write_weights(config: str, folder: Path) -> str:
    """A checkpoint of an untrained model."""
    from mmdet.registry import MODELS
    from mmengine.config import Config

    torch.manual_seed(3)
    path = folder / 'weights.pth'
    torch.save(dict(state_dict=MODELS.build(Config.fromfile(config).model).state_dict(), meta={}), path)
    return str(path)


def train(*args: str):
    return cli.train(cli.train_parser().parse_args(args))


def test(*args: str) -> dict:
    return cli.test(cli.test_parser().parse_args(args))


test.__test__ = False


def run(*command: str, **env: str) -> str:
    env = {**os.environ, 'OMP_NUM_THREADS': '1', 'PYTHONPATH': str(ROOT), 'PYTHON': sys.executable, **env}
    pipe = dict(stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    done = subprocess.run(command, env=env, **pipe, timeout=300)  # no text=True, which would take away '\r'
    printed = done.stdout.decode()
    assert done.returncode == 0, printed[-5000:]
    return printed


def tool(name: str, *args: str) -> str:
    return run(sys.executable, str(ROOT / 'tools' / name), *args)


@pytest.mark.slow
@pytest.mark.xdist_group('processes')
def test_train_test_and_eval_end_to_end(root, tmp_path):
    config = write_config(root, tmp_path, MASKPROP, log_level='INFO')
    screen = tool('train.py', config)
    start, _, rest = screen.partition('loss ')
    assert len(start.splitlines()) <= 15 and '\r' not in screen, screen
    assert all(said in start for said in (config, 'val.json: 3 videos, 18 frames', ' M parameters', 'work'))
    assert all(said in rest for said in (' left, ', 'AP50', 'iter_10.pth', 'next:', f'maskprop test {tmp_path}'))
    assert [noise for noise in ('OneDL', 'BURST', 'UserWarning', 'mmengine') if noise in screen] == []
    (file,) = (tmp_path / 'work').glob('*/*.log')
    log = file.read_text()
    assert 'eta:' in log and 'loss_prop' in log and 'AP50' in log and 'a frame)' in log
    assert 'System environment' in log and "work_dir = '" in log
    checkpoint = str(find_last_checkpoint(tmp_path / 'work'))
    assert checkpoint.endswith('iter_10.pth')

    out, metrics, shown = tmp_path / 'out' / 'results.json', tmp_path / 'metrics.json', tmp_path / 'shown'
    files = ['--out', str(out), '--metrics', str(metrics), '--submission', str(tmp_path / 'results.zip')]
    log = tool('test.py', config, checkpoint, *files, '--show-dir', str(shown), '--verbose')
    assert 'eta:' in log and 'AP50' in log and 'mmengine - INFO' in log and 'System environment' in log
    found = json.loads(metrics.read_text())
    assert set(TABLE) <= set(found) and set(found['per_category']) == {'1', '2', '4'}
    with zipfile.ZipFile(tmp_path / 'results.zip') as archive:
        assert archive.namelist() == ['results.json']
        assert json.loads(archive.read('results.json')) == json.loads(out.read_text())
    assert len(list(shown.glob('*.mp4'))) == len(list(shown.glob('*_strip.png'))) == 3

    again = tmp_path / 'again.json'
    log = tool('eval_results.py', f'{root}/annotations/val.json', str(out), '--out', str(again))
    assert json.loads(again.read_text()) == found


@pytest.mark.slow
@pytest.mark.xdist_group('processes')
@pytest.mark.parametrize('videos', [3, 1])
def test_two_processes_write_the_results_of_one(tmp_path, videos):
    """With 3 videos a process has two and one has one; with 1 video one has none."""
    root = write_tiny_ytvis(tmp_path / 'set', videos=videos)
    config = write_config(root, tmp_path)
    checkpoint = write_weights(config, tmp_path)
    found = {}
    for name in ('one', 'two'):
        args = [config, checkpoint, '--out', f'{tmp_path}/{name}.json', '--metrics', f'{tmp_path}/{name}_m.json']
        if name == 'one':
            test(*args)
        else:
            run_ranks(test, *args, '--launcher', 'pytorch', folder=tmp_path)
        found[name] = [Path(f'{tmp_path}/{name}{suffix}.json').read_text() for suffix in ('', '_m')]
    assert len(json.loads(found['one'][0])) == 3 * videos
    assert found['one'] == found['two']


@pytest.mark.slow
def test_resume_goes_on_from_the_last_checkpoint(root, tmp_path, capsys):
    config = write_config(root, tmp_path)
    options = ['--cfg-options', 'train_cfg.max_epochs=1']
    first = train(config, '--resume', *options)  # nothing to resume from: starts from scratch
    assert first.iter == 5 and 'starts from scratch' in capsys.readouterr().out
    last = find_last_checkpoint(tmp_path / 'work')
    assert last.name == 'iter_5.pth'
    second = train(config, '--resume')
    assert second.iter == 10 and second.cfg.load_from == str(last)
    third = train(config, '--resume', str(tmp_path / 'work' / 'iter_6.pth'))
    for name, value in second.model.state_dict().items():
        assert torch.equal(value, third.model.state_dict()[name]), name


@pytest.mark.slow
def test_checkpoints_are_not_replaced_without_a_word(root, tmp_path, capsys):
    config = write_config(root, tmp_path)
    options = ['--cfg-options', 'train_cfg.max_epochs=1']
    train(config, *options)
    assert 'warning' not in capsys.readouterr().err
    train(config, *options)
    assert 'work has checkpoints of an earlier training (iter_5.pth the latest)' in capsys.readouterr().err
    runner = train(config, '--resume', *options)
    (log,) = Path(runner.log_dir).glob('*.log')
    assert 'Nothing is left to train: 1 epoch done' in log.read_text()
    (tmp_path / 'work/last_checkpoint').unlink()
    with pytest.raises(CheckpointError, match=r'no file last_checkpoint.*--resume .*iter_5.pth'):
        train(config, '--resume')


def test_hooks_that_an_earlier_run_added_are_not_those_of_a_test(root, tmp_path):
    """The config that a training wrote has its hooks, of which InitialWeightsHook would fill what a file lacks."""
    config = write_config(root, tmp_path)
    train(config, '--cfg-options', 'train_cfg.max_epochs=1')
    (written,) = (tmp_path / 'work').glob('*.py')
    assert 'InitialWeightsHook' in written.read_text()
    cfg = load_config(written)
    prepare_testing(cfg, write_weights(config, tmp_path), Outputs())
    kinds = [hook.type for hook in cfg.custom_hooks]
    assert kinds.count('CheckpointFitHook') == 1 and 'InitialWeightsHook' not in kinds


@pytest.mark.parametrize('mark', ['box_only', 'unknown_categories'])
def test_what_only_two_stage_detectors_leave_out_is_refused_by_others(tmp_path, mark):
    root = write_tiny_ytvis(tmp_path / 'set')
    (file,) = [path for path in root.rglob('train.json')]
    data = json.loads(file.read_text())
    if mark == 'box_only':
        data['annotations'][0].update(box_only=True, segmentations=[None] * len(data['annotations'][0]['bboxes']))
    else:
        shown = {a['category_id'] for a in data['annotations'] if a['video_id'] == data['videos'][0]['id']}
        others = [category['id'] for category in data['categories'] if category['id'] not in shown]
        data['videos'][0]['unknown_categories'] = others[:1]
    file.write_text(json.dumps(data))
    config = write_config(root, tmp_path)  # its model is none of the project's detectors
    with pytest.raises(ConfigError, match=r'train.json has objects without masks .*two-stage'):
        train(config)


def test_a_second_training_in_a_folder_is_refused(root, tmp_path):
    config = write_config(root, tmp_path)
    options = ['--cfg-options', 'train_cfg.max_epochs=1']
    with (
        hold_folder(tmp_path / 'work', name='training.lock'),
        pytest.raises(ConfigError, match=rf'work: process {os.getpid()} on .* another training.*--work-dir'),
    ):
        train(config, *options)
    assert not list((tmp_path / 'work').glob('*.pth'))
    train(config, *options)
    assert not (tmp_path / 'work/training.lock').exists()


def test_pictures_that_cannot_be_drawn_cost_no_results(root, tmp_path, monkeypatch):
    config = write_config(root, tmp_path)
    weights, out = write_weights(config, tmp_path), tmp_path / 'results.json'

    options = '--out', out, '--show-dir', tmp_path / 'shown', '--metrics', tmp_path / 'm.json'

    def fail(*args):
        raise OSError(28, 'No space left on device')

    monkeypatch.setattr('maskprop.visualization.hook.write_image', fail)
    with pytest.raises(OSError, match=r'--show-dir .*shown: 1 video not drawn.*No space left.*stopped there'):
        test(config, weights, *map(str, options))
    monkeypatch.undo()
    test(config, weights, '--out', str(tmp_path / 'again.json'))
    assert out.read_text() == (tmp_path / 'again.json').read_text() and (tmp_path / 'm.json').is_file()


def test_what_is_read_is_not_replaced(root, tmp_path):
    config = write_config(root, tmp_path)
    weights = write_weights(config, tmp_path)
    annotations = root / 'annotations/val.json'
    before = annotations.read_bytes()
    for option in ('--out', '--metrics'):
        with pytest.raises(FileExistsError, match=f'{option} .*val.json: is read by this command'):
            test(config, weights, '--data', str(annotations), option, str(annotations))
    with pytest.raises(ConfigError, match='--metrics .*same.json: is --out too'):
        test(config, weights, '--out', str(tmp_path / 'same.json'), '--metrics', str(tmp_path / 'same.json'))
    assert annotations.read_bytes() == before


def test_a_disk_that_fills_costs_only_what_is_written_to_it(root, tmp_path, monkeypatch):
    """Of the log, of the results, of all files of a test: the others are written, and all that fail are named."""
    config = write_config(root, tmp_path)
    weights, full = write_weights(config, tmp_path), tmp_path / 'full'
    write, log = Path.write_text, LoggerHook.after_test_epoch

    def files(folder: Path, *names: str) -> list[str]:
        return [word for name in names for word in (f'--{name}', str(folder / f'{name}.json'))]

    def no_space(*args, **kwargs):
        raise OSError(28, 'No space left on device')

    def write_elsewhere(path: Path, *args, **kwargs):
        return no_space() if full in path.parents else write(path, *args, **kwargs)

    def open_elsewhere(path: Path, *args, **kwargs):
        return no_space() if full in path.parents else open(path, *args, **kwargs)

    monkeypatch.setattr(LoggerHook, 'after_test_epoch', no_space)
    with pytest.raises(OSError, match=f'No space left on device: .*{tmp_path / "work"}'):
        test(config, weights, *files(tmp_path / 'log', 'out', 'metrics'))
    assert len(list((tmp_path / 'log').iterdir())) == 2
    monkeypatch.setattr(LoggerHook, 'after_test_epoch', log)
    monkeypatch.setattr(Path, 'write_text', write_elsewhere)
    monkeypatch.setattr(Path, 'open', open_elsewhere)
    monkeypatch.setattr('tempfile.tempdir', str(tmp_path))
    with pytest.raises(OSError, match=r'full/out\.json'):
        test(config, weights, *files(full, 'out'), *files(tmp_path / 'results', 'metrics'))
    assert json.loads((tmp_path / 'results/metrics.json').read_text())
    with pytest.raises(OSError, match=r'full/out\.json.*The results are in .*; .*full/metrics\.json'):
        test(config, weights, *files(full, 'out', 'metrics'))


def test_every_frame_is_looked_for(tmp_path):
    root = write_tiny_ytvis(tmp_path / 'set')
    config = write_config(root, tmp_path)
    sorted(root.rglob('*.jpg'))[-2].unlink()  # neither a video's first frame nor its last
    with pytest.raises(ConfigError, match=r'video \d+: its frame .*jpg does not exist'):
        test(config, write_weights(config, tmp_path))


@pytest.mark.parametrize('content', ['model = dict(', 'model = missing'])
def test_a_file_that_is_no_config_is_named(tmp_path, content):
    (tmp_path / 'broken.py').write_text(content)
    with pytest.raises(ConfigError, match=r'config .*broken.py: cannot be read: (Syntax|Name)Error'):
        train(str(tmp_path / 'broken.py'))


def test_options_without_a_value_are_explained(capsys):
    with pytest.raises(SystemExit):
        cli.train_parser().parse_args(['config.py', '--cfg-options', 'model'])
    assert '--cfg-options model: expected KEY=VALUE' in capsys.readouterr().err


@pytest.mark.slow
def test_resume_keeps_initial_weights_until_there_is_a_checkpoint(root, tmp_path):
    config = write_config(root, tmp_path, param_scheduler=[])
    weights = write_weights(config, tmp_path)
    runner = train(config, '--resume', '--cfg-options', f'load_from={weights}', 'train_cfg.max_epochs=0')
    loaded = torch.load(weights, weights_only=True)['state_dict']
    assert all(torch.equal(value, loaded[name]) for name, value in runner.model.state_dict().items())


@pytest.mark.slow
def test_seed_and_learning_rate_scale(root, tmp_path):
    config = write_config(root, tmp_path, param_scheduler=[])
    options = ['--cfg-options', 'train_cfg.max_epochs=1', 'train_dataloader.sampler.seed=0']
    runner = train(config, '--auto-scale-lr', '--seed', '11', *options)
    assert runner.optim_wrapper.get_lr()['lr'] == [pytest.approx(0.01 * 2 / 4)]
    assert runner.seed == runner.train_dataloader.sampler.seed == 11


def test_default_work_dir_is_named_after_the_config(tmp_path):
    path = tmp_path / 'my_config.py'
    path.write_text('model = dict()')
    from maskprop.engine.config import load_config

    assert Path(load_config(str(path)).work_dir) == Path('work_dirs/my_config')


@pytest.mark.slow
def test_classes_are_taken_from_the_data_set(tmp_path):
    root = write_tiny_ytvis(tmp_path / 'set', num_categories=2)
    config = write_config(root, tmp_path, model__bbox_head__num_classes=None)
    runner = train(config, '--cfg-options', 'train_cfg.max_epochs=1')
    assert runner.model.last.out_channels == 2


BAD_TRAINING = {
    'no config': (['nowhere.py'], ConfigError, 'nowhere.py: no such file'),
    'number of classes': (
        ['--cfg-options', 'model.bbox_head.num_classes=40'],
        ConfigError,
        r'model.bbox_head.num_classes is 40, but train_dataloader.dataset .*train.json\) has 3 classes: set it to',
    ),
    'no annotations': (
        ['--cfg-options', 'train_dataloader.dataset.ann_file=annotations/none.json'],
        ValueError,
        'none.json',
    ),
    'no images': (
        ['--cfg-options', 'train_dataloader.dataset.data_prefix.img_path=elsewhere'],
        ConfigError,
        'video 1: its frame .*elsewhere/0000/00000.jpg does not exist',
    ),
    'misspelt key': (
        ['--cfg-options', 'optim_wraper.type=Bf16OptimWrapper'],
        ConfigError,
        "--cfg-options optim_wraper.type: the config has no 'optim_wraper'; did you mean 'optim_wrapper'",
    ),
    'unknown key': (['--cfg-options', 'zzz=1'], ConfigError, "the config has no 'zzz'; it has .*model"),
    'no such item': (
        ['--cfg-options', 'param_scheduler.5.end=3'],
        ConfigError,
        'param_scheduler.5.end: does not fit the config',
    ),
    'nothing to resume from': (['--resume', 'nowhere.pth'], FileNotFoundError, 'nowhere.pth'),
    'no base batch size': (
        ['--auto-scale-lr', '--cfg-options', 'auto_scale_lr=None'],
        ConfigError,
        'base_batch_size',
    ),
    'frozen without weights': (
        ['--cfg-options', 'model.frozen=[detector]'],
        ConfigError,
        "model.frozen names 'detector'.*load_from=",
    ),
    'metric of other frames': (
        ['--cfg-options', 'val_evaluator.frame_stride=2'],
        EvalInputError,
        'video 1: "frame_stride": the data set uses 6 of its frames, the metric 3',
    ),
    'launcher': (['--launcher', 'pytorch'], LaunchError, 'RANK.* not set.*torchrun'),
    'slurm': (['--launcher', 'slurm'], LaunchError, 'SLURM_PROCID'),
    'no training': (['--cfg-options', 'train_cfg=None'], ConfigError, 'train_cfg: not set'),
}


@pytest.mark.slow
@pytest.mark.parametrize('case', BAD_TRAINING)
def test_bad_training_is_refused_before_it_begins(root, tmp_path, case, monkeypatch):
    for name in ('RANK', 'SLURM_PROCID'):
        monkeypatch.delenv(name, raising=False)
    args, error, message = BAD_TRAINING[case]
    config = write_config(root, tmp_path)
    args = args if args[0].endswith('.py') else [config, *args]
    with pytest.raises(error, match=message):
        train(*args)
    assert not list((tmp_path / 'work').glob('*.pth'))


@pytest.mark.skipif(torch.cuda.is_available(), reason='there is a GPU')
def test_amp_without_a_gpu_is_refused(root, tmp_path):
    with pytest.raises(ConfigError, match='--amp.*GPU'):
        train(write_config(root, tmp_path), '--amp')


def test_val_classes_must_be_those_of_train(root, tmp_path):
    other = write_tiny_ytvis(tmp_path / 'other', num_categories=2)
    config = write_config(root, tmp_path, val_dataloader__dataset__data_root=f'{other}/')
    with pytest.raises(ConfigError, match='val_dataloader.dataset .* has 2 classes .*, but train_dataloader'):
        train(config, '--cfg-options', f'val_dataloader.dataset.data_root={other}/')


@pytest.mark.slow
def test_a_set_without_annotations_is_written_into_the_work_folder(root, tmp_path):
    config = write_config(root, tmp_path)
    weights = write_weights(config, tmp_path)
    assert test(config, weights, '--cfg-options', 'test_evaluator.format_only=True') == {}
    written = json.loads((tmp_path / 'work/results.json').read_text())
    with zipfile.ZipFile(tmp_path / 'work/submission.zip') as archive:
        assert json.loads(archive.read('results.json')) == written
    only = tmp_path / 'only.json'
    (tmp_path / 'work/results.json').unlink()
    test(config, weights, '--out', str(only), '--cfg-options', 'test_evaluator.format_only=True')
    assert json.loads(only.read_text()) == written and not (tmp_path / 'work/results.json').exists()


def test_bad_tests_are_refused(root, tmp_path):
    config = write_config(root, tmp_path)
    with pytest.raises(FileNotFoundError, match='nowhere.pth: no such file.*maskprop train'):
        test(config, 'nowhere.pth')
    weights = write_weights(config, tmp_path)
    with pytest.raises(ConfigError, match=r'--out results.txt: .*\.json'):
        test(config, weights, '--out', 'results.txt')
    for option, name in (('--out', 'a.json'), ('--submission', 'b.zip'), ('--metrics', 'c.json')):
        (tmp_path / name).mkdir()
        with pytest.raises(IsADirectoryError, match=f'{option} .*{name}: is a folder'):
            test(config, weights, option, str(tmp_path / name))
    with pytest.raises(OSError, match='--show-dir .*weights.pth: is a file'):
        test(config, weights, '--show-dir', weights)
    with pytest.raises(OSError, match='work_dir .*weights.pth: is a file'):
        test(config, weights, '--work-dir', weights)
    with pytest.raises(ConfigError, match='--metrics .*format_only'):
        test(
            config, weights, '--metrics', f'{tmp_path}/m.json', '--cfg-options', 'test_evaluator.format_only=True'
        )


def test_weights_that_do_not_fit_are_refused(root, tmp_path):
    """mmengine would warn and test random weights."""
    config = write_config(root, tmp_path)
    weights = write_weights(config, tmp_path)
    content = torch.load(weights, weights_only=True)
    content['state_dict']['last.weight'] = torch.zeros(41, 8, 1, 1)
    del content['state_dict']['first.bias']
    torch.save(content, weights)
    with pytest.raises(
        CheckpointError, match=r'first.bias is missing; last.weight is \(41, 8, 1, 1\), the model has'
    ):
        test(config, weights)


@pytest.mark.slow
def test_errors_of_users_are_one_line(capsys, monkeypatch):
    monkeypatch.setattr(sys, 'argv', ['tools/test.py', 'nowhere.py', 'x.pth'])
    with pytest.raises(SystemExit) as end:
        runpy.run_path(str(ROOT / 'tools' / 'test.py'), run_name='__main__')
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert end.value.code == 1 and line.startswith('test.py: error: config nowhere.py')


def test_fp16_test_runs(root, tmp_path):
    config = write_config(root, tmp_path)
    metrics = test(config, write_weights(config, tmp_path), '--amp')
    assert np.isfinite(metrics['AP'])


def test_dist_scripts_pass_their_arguments(tmp_path):
    """With a stand-in for python that prints its arguments."""
    (tmp_path / 'python').write_text('#!/bin/sh\necho "threads=$OMP_NUM_THREADS" "$@"\n')
    (tmp_path / 'python').chmod(0o755)
    env = dict(PYTHON=f'{tmp_path}/python', PORT='29999', NNODES='2', NODE_RANK='1', MASTER_ADDR='node0')
    printed = run('bash', f'{ROOT}/tools/dist_train.sh', 'c.py', '4', '--cfg-options', 'a=[1,2]', **env)
    launched = '--nnodes=2 --node_rank=1 --nproc_per_node=4 --master_addr=node0 --master_port=29999'
    assert f'threads=1 -m torch.distributed.run {launched} {ROOT}/tools/train.py' in printed
    assert printed.split('tools/train.py ')[1].strip() == 'c.py --launcher pytorch --cfg-options a=[1,2]'
    printed = run('bash', f'{ROOT}/tools/dist_test.sh', 'c.py', 'x.pth', '4', '--out', 'r.json', **env)
    assert printed.split('tools/test.py ')[1].strip() == 'c.py x.pth --launcher pytorch --out r.json'
    usage = subprocess.run(['bash', f'{ROOT}/tools/dist_train.sh'], capture_output=True, text=True)
    assert usage.returncode == 2 and 'dist_train.sh CONFIG NPROC' in usage.stdout


def test_slurm_script_resumes_and_passes_arguments(tmp_path):
    """With a stand-in for srun that prints its arguments."""
    (tmp_path / 'srun').write_text('#!/bin/sh\necho "$MASTER_PORT" "$@"\n')
    (tmp_path / 'srun').chmod(0o755)
    path = f'{tmp_path}:{os.environ["PATH"]}'
    script = f'{ROOT}/tools/slurm_train.sh'
    printed = run('bash', script, 'part', 'job', 'config.py', '--amp', PATH=path, GPUS='16')
    assert '--ntasks=16' in printed and '--gres=gpu:8' in printed and '--partition=part' in printed
    assert printed.split('tools/train.py ')[1].strip() == 'config.py --launcher slurm --resume --amp'
    printed = run('bash', script, 'part', 'job', 'config.py', '--resume', 'x.pth', PATH=path, GPUS_PER_NODE='0')
    assert '--gres' not in printed and printed.count('--resume') == 1
    printed = run(
        'bash', f'{ROOT}/tools/slurm_test.sh', 'part', 'job', 'c.py', 'x.pth', '--out', 'r.json', PATH=path
    )
    assert printed.split('tools/test.py ')[1].strip() == 'c.py x.pth --launcher slurm --out r.json'


def test_training_finds_out_first_that_it_could_not_be_tested(root, tmp_path):
    """A tracker cannot fill from clips; the first validation comes after an epoch."""
    model = dict(linker=dict(_delete_=True, type='BoxIoULinker'), fill=True)
    config = write_config(root, tmp_path, base=MASKPROP, model=model)
    with pytest.raises(ConfigError, match='need clips, which BoxIoULinker does without'):
        train(config)
    assert not list(Path(tmp_path, 'work').rglob('*.pth'))
