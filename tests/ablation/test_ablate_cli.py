"""tools/ablate.py on a tiny set with the tests' model: trains, tests, tabulates, reuses; processes; Slurm."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import maskprop

maskprop.register_all()

from maskprop.ablation import work  # noqa: E402
from maskprop.ablation.jobs import plan  # noqa: E402
from maskprop.ablation.reuse import reuse_demos  # noqa: E402
from maskprop.ablation.scheduler import JobFailed, run_job  # noqa: E402
from maskprop.ablation.study import load_study  # noqa: E402
from maskprop.engine import cli  # noqa: E402
from maskprop.engine.checkpoint import load_checkpoint_file  # noqa: E402
from maskprop.engine.config import ConfigError  # noqa: E402
from tests.ablation.tiny_study import make_outputs, write_study  # noqa: E402
from tests.engine.tiny_config import MASKPROP, quick_runs, tiny_config  # noqa: E402
from tests.helpers import write_tiny_ytvis  # noqa: E402

ROOT = Path(__file__).parents[2]
DEMO = str(ROOT / 'configs/demo/maskprop_tiny_synthetic.py')
FROZEN = {'model.frozen': ['detector'], 'train_cfg.max_epochs': 1}
ROWS = [
    dict(name='detector', variant=dict(fill=False), paper=dict(AP=46.6)),
    dict(name='short', variant=dict(clip_radius=1)),
    dict(name='heads', train=dict(name='heads', options=FROZEN)),
    dict(name='first epoch', epoch=1),
    dict(name="first epoch's masks", masks_epoch=1),
    dict(name='truth', ground_truth=True),
]


@pytest.fixture(scope='module')
def tool():
    spec = importlib.util.spec_from_file_location('ablate', ROOT / 'tools/ablate.py')
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope='module')
def study(tmp_path_factory) -> Path:
    """A study of the tests' model on the tiny set."""
    folder = tmp_path_factory.mktemp('study')
    root = write_tiny_ytvis(folder / 'set', videos=2)
    rcnn = 'model__detector__test_cfg__rcnn'
    options = {f'{rcnn}__score_thr': 0.0, f'{rcnn}__max_per_img': 3}
    cfg = tiny_config(root, folder / 'work', MASKPROP, **options)
    cfg.default_hooks.checkpoint = dict(type='CheckpointHook', by_epoch=True, interval=1)
    cfg.pop('experiment_name')
    cfg.dump(folder / 'base.py')
    file = write_study(folder, str(folder / 'base.py'), ROWS, synthetic=None, frame_stride=2)
    file.write_text(
        file.read_text().replace('seeds=(1, 2)', 'seeds=(1,)').replace("'seeds': (1, 2)", "'seeds': (1,)")
    )
    return file


@pytest.fixture
def in_process(tool, monkeypatch):
    """Jobs and trainings in this process, so that torch is imported once; the trainings that ran."""
    trained = []

    def run_python(arguments: list[str], name: str) -> None:
        assert arguments[0] == 'tools/train.py'
        trained.append(name)
        with quick_runs():
            cli.train(cli.train_parser().parse_args(arguments[1:]))

    def launch(job, slot, args) -> None:
        run_job(job, work.Workers(args.processes).runners()[job.level], tool_timings(args))

    def tool_timings(args):
        from maskprop.ablation.timings import Timings

        return Timings(args.out / 'timings.json')

    monkeypatch.setattr(work, 'run_python', run_python)
    monkeypatch.setattr(tool, 'launch', launch)
    monkeypatch.chdir(ROOT)
    return trained


def call(tool, monkeypatch, *arguments: str) -> None:
    monkeypatch.setattr(sys, 'argv', ['ablate.py', *map(str, arguments)])
    tool.main()


def test_a_study_end_to_end(tool, study, tmp_path, in_process, monkeypatch, capsys):
    out = tmp_path / 'out'
    call(tool, monkeypatch, study, '--out', out, '--dry-run')
    assert '8 of 8 jobs to do' in capsys.readouterr().out and not list(tmp_path.rglob('*.pth'))
    call(tool, monkeypatch, study, '--out', out)
    printed = capsys.readouterr().out
    assert [name.split('/')[0] for name in in_process] == ['detectors', 'heads']
    assert '[8/8] tiny: done' in printed and '# A study of the tests' in printed
    table = (out / 'tiny/table.md').read_text()
    assert all(f'| {row["name"]} |' in table for row in ROWS)
    assert (out / 'tiny/plot.png').is_file() and len((out / 'tiny/table.csv').read_text().splitlines()) == 7
    assert set(json.loads((out / 'timings.json').read_text())) == {
        'detector: base',
        'heads: heads',
        'test',
        'table',
    }

    results = {path.name: json.loads(path.read_text()) for path in (out / 'tiny/results').rglob('*.json')}
    assert results['truth.json'] and all(r['score'] == 1 for r in results['truth.json'])
    assert results['first_epoch_s_masks.json'] != results['detector.json'] != results['first_epoch.json']
    assert {r['image_id'] for r in results['detections.json']} <= {
        1,
        3,
        5,
        7,
        9,
        11,
    }  # every 2nd frame of two videos

    detector, heads = (
        load_checkpoint_file(next(out.glob(name)))['state_dict']
        for name in ('detectors/*/1/epoch_2.pth', 'heads/*/1/epoch_1.pth')
    )
    for key, value in heads.items():  # they learned on the frozen detector, from its weights
        part = key.split('.')[0]
        assert part != 'detector' or torch.equal(value, detector[key])
    assert any(not torch.equal(value, detector[key]) for key, value in heads.items())

    call(tool, monkeypatch, study, '--out', out)
    assert '0 of 8 jobs to do' in capsys.readouterr().out and len(in_process) == 2


def test_the_whole_batch_is_split_among_processes(study, tmp_path, monkeypatch):
    commands = []
    monkeypatch.setattr(work, 'run_python', lambda arguments, name: commands.append(arguments))
    job = next(job for job in plan([load_study(study)], tmp_path) if job.level == 'detector')
    job.folder.mkdir(parents=True)
    work.Workers(2).train(job)
    assert job.details['cfg'].train_dataloader.batch_size == 2  # of auto_scale_lr.base_batch_size = 4
    assert '--nproc_per_node=2' in commands[0] and commands[0][-3:] == ['--launcher', 'pytorch', '--resume']
    with pytest.raises(ConfigError, match='--processes 3: the batch of 4'):
        work.Workers(3).train(job)


# -- reusing demos


def write_demo(folder: Path, seed: int, **options) -> Path:
    """What tools/demo.py leaves: a trained config, checkpoints, the set."""
    from mmengine.config import Config

    cfg = Config.fromfile(DEMO)
    cfg.randomness = dict(seed=seed)
    cfg.train_dataloader.dataset.data_root = 'data/some_set'
    cfg.model.detector.roi_head.bbox_head.num_classes = 5
    cfg.merge_from_dict({key.replace('__', '.'): value for key, value in options.items()})
    (folder / 'demo/train').mkdir(parents=True)
    (folder / 'data/some_set/annotations').mkdir(parents=True)
    (folder / 'data/some_set/JPEGImages').mkdir()
    for name in ('train', 'val'):
        (folder / f'data/some_set/annotations/{name}.json').write_text('{}')
    cfg.dump(folder / 'demo/train/config.py')
    for epoch in (7, 8):
        (folder / f'demo/train/epoch_{epoch}.pth').write_text(f'weights {epoch}')
    (folder / 'demo/summary.json').write_text(json.dumps(dict(seconds=dict(train=321.0))))
    return folder / 'demo'


def test_a_demo_is_reused(tmp_path):
    demo = write_demo(tmp_path, seed=2)
    study = load_study(write_study(tmp_path, DEMO))
    said = reuse_demos([demo], plan([study], tmp_path / 'out'))
    jobs = {job.name: job for job in plan([study], tmp_path / 'out')}
    done = [name for name, job in jobs.items() if job.is_done()]
    assert len(done) == 1 and done[0].startswith('detectors/') and done[0].endswith('/2') and len(said) == 2
    assert (jobs[done[0]].folder / 'epoch_8.pth').read_text() == 'weights 8'
    assert jobs[done[0]].record()['seconds'] == 321
    assert (jobs['data/2'].folder / 'annotations/val.json').read_text() == '{}'  # and is checked by its own job
    assert reuse_demos([demo], list(jobs.values())) == []


def test_a_demo_of_other_settings_is_refused(tmp_path):
    demo = write_demo(tmp_path, seed=2, model__propagation_head__channels=16)
    jobs = plan([load_study(write_study(tmp_path, DEMO))], tmp_path / 'out')
    with pytest.raises(ConfigError, match='model.propagation_head.channels: 16 before, now 32'):
        reuse_demos([demo], jobs)
    with pytest.raises(ConfigError, match='nowhere: no train/'):
        reuse_demos([tmp_path / 'nowhere'], jobs)


def test_epochs_that_a_demo_has_not_kept_are_trained_beside_it(tmp_path):
    demo = write_demo(tmp_path, seed=2)
    rows = [dict(name='weak', masks_epoch=1), dict(name='strong')]
    study = load_study(write_study(tmp_path, DEMO, rows))
    reuse_demos([demo], plan([study], tmp_path / 'out'))
    detectors = [job for job in plan([study], tmp_path / 'out') if job.level == 'detector']
    assert [job.folder.name for job in detectors] == ['1', '2_all_epochs'] and not detectors[1].is_done()


# -- processes of their own


def run_tool(*arguments: str) -> subprocess.CompletedProcess:
    env = {**os.environ, 'OMP_NUM_THREADS': '1', 'PYTHONPATH': str(ROOT)}
    command = [sys.executable, str(ROOT / 'tools/ablate.py'), *map(str, arguments)]
    return subprocess.run(command, env=env, capture_output=True, text=True, timeout=300)


def test_jobs_run_in_processes_and_failures_are_shown(tool, tmp_path):
    file = write_study(tmp_path, DEMO, [dict(name='plain')], synthetic=dict(videos=1, val_videos=1, frames=2))
    jobs = plan([load_study(file)], tmp_path / 'out')
    args = tool.parse_args([str(file), '--out', str(tmp_path / 'out')])
    tool.launch(jobs[0], 0, args)
    assert jobs[0].is_done() and len(list(jobs[0].folder.glob('JPEGImages/*/*.jpg'))) == 4
    assert 'make_synthetic.py' in (jobs[0].folder / 'job.log').read_text()
    heads = next(job for job in jobs if job.level == 'test')
    with pytest.raises(JobFailed, match='results/1/plain needs detectors'):
        tool.launch(heads, 0, args)


def test_slurm_arrays_have_all_jobs_by_level(tmp_path):
    (tmp_path / 'sbatch').write_text(
        '#!/bin/sh\necho "$@" >> "$(dirname "$0")/calls"\nwc -l < "$(dirname "$0")/calls"\n'
    )
    (tmp_path / 'sbatch').chmod(0o755)
    file = write_study(tmp_path, DEMO)
    for job in plan([load_study(file)], tmp_path / 'out')[:1]:  # numbers stay when jobs are done
        run_job(job, make_outputs, type('NoTimings', (), {'add': lambda *_: None})())
    env = {**os.environ, 'PATH': f'{tmp_path}:{os.environ["PATH"]}', 'PYTHON': sys.executable, 'GPUS': '4'}
    command = ['bash', str(ROOT / 'tools/slurm_ablate.sh'), 'part', str(file), '--out', str(tmp_path / 'out')]
    subprocess.run(command, env=env, check=True, capture_output=True, timeout=300)
    calls = (tmp_path / 'calls').read_text().splitlines()
    arrays = [call.split('--array=')[1].split('%')[0] for call in calls]
    assert arrays == ['0-1', '2-3', '4-7', '8-13', '14-14']
    assert '--dependency' not in calls[0]
    assert [f'--dependency=afterok:{n} ' in call for n, call in enumerate(calls[1:], 1)] == [True] * 4
    assert all('--gres=gpu:4' in c and '--processes 4 --job $SLURM_ARRAY_TASK_ID' in c for c in calls)


@pytest.mark.parametrize('content, message', [
    ("x = 1", 'no study'),
    ("study = dict(title='t', rows=[dict(name='a', variant=dict(), epok=2)])", r"row 1 \(a\): unknown.*'epok'"),
    ("study = dict(title='t', rows=[dict(name='a'), dict(name='A')])", r"file name \['a'\]"),
    ("study = dict(title='t', rows=[dict(name='a', train=dict(name='t', start='x'))])", "train.start='x'"),
    ("study = dict(title='t', rows=[])", r"missing keys \['rows'\]"),
    ("study = dict(title='t', rows=[dict(name='a', epoch=1, train=dict(name='t'))])", 'epoch'),
    ("study = dict(title='t', rows=[dict(name='a', train=dict(name='t', options={'a': 1})),"
     " dict(name='b', train=dict(name='t', options={'a': 2}))])", "row b: another training is named 't'"),
])  # fmt: skip
def test_bad_studies_are_refused(tmp_path, content, message):
    (tmp_path / 'bad.py').write_text(content)
    with pytest.raises(ConfigError, match=message):
        load_study(tmp_path / 'bad.py')
