"""tools/ablate.py on a tiny set with the tests' model: trains, tests, tabulates, reuses; processes; Slurm."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from mmengine.config import Config

import maskprop

maskprop.register_all()

from maskprop.ablation import work  # noqa: E402
from maskprop.ablation.jobs import plan  # noqa: E402
from maskprop.ablation.scheduler import JobFailed, run_job  # noqa: E402
from maskprop.ablation.study import load_study  # noqa: E402
from maskprop.engine import cli  # noqa: E402
from maskprop.engine.checkpoint import load_checkpoint_file  # noqa: E402
from maskprop.engine.config import ConfigError  # noqa: E402
from tests.ablation.tiny_study import DEMO, NO_TIMINGS, call, make_outputs, write_study  # noqa: E402
from tests.engine.tiny_config import MASKPROP, quick_runs, tiny_config  # noqa: E402
from tests.helpers import write_tiny_ytvis  # noqa: E402

ROOT = Path(__file__).parents[2]
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
        assert arguments[:3] == ['-m', 'maskprop', 'train']
        trained.append(name)
        with quick_runs():
            cli.train(cli.train_parser().parse_args(arguments[3:]))

    def launch(job, slot, args) -> None:
        run_job(job, work.Workers(args.processes).runners()[job.level], tool_timings(args))

    def tool_timings(args):
        from maskprop.ablation.timings import Timings

        return Timings(args.out / 'timings.json')

    monkeypatch.setattr(work, 'run_python', run_python)
    monkeypatch.setattr(tool, 'launch', launch)
    monkeypatch.chdir(ROOT)
    return trained


@pytest.mark.slow
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
    frames = {r['image_id'] for r in results['detections.json']}
    assert frames and frames <= {1, 3, 5, 7, 9, 11}  # every 2nd frame of two videos

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


@pytest.mark.slow
@pytest.mark.parametrize('processes, batch, iterations, scaled', [
    (1, 4, 2, False),  # of batch_size = 4, base_batch_size = 8
    (2, 4, 1, False),
    (4, 2, 1, False),
    (3, 2, 1, True),
    (16, 1, 1, True),
])  # fmt: skip
def test_the_whole_batch_is_spread_over_processes(tmp_path, monkeypatch, processes, batch, iterations, scaled):
    commands = []
    monkeypatch.setattr(work, 'run_python', lambda arguments, name: commands.append(arguments))
    job = next(j for j in plan([load_study(write_study(tmp_path, DEMO))], tmp_path) if j.level == 'detector')
    job.folder.mkdir(parents=True)
    work.Workers(processes).train(job)
    cfg = Config.fromfile(job.folder / 'config.py')
    assert cfg.val_cfg is None and cfg.val_dataloader is None and cfg.val_evaluator is None
    assert cfg.train_dataloader.batch_size == batch
    assert cfg.optim_wrapper.get('accumulative_counts', 1) == iterations
    assert cfg.param_scheduler[0].end == 50 * iterations and cfg.param_scheduler[1].T_max == 8
    assert (f'--nproc_per_node={processes}' in commands[0]) is (processes > 1)
    assert ('--auto-scale-lr' in commands[0]) is scaled and commands[0][-1] == '--resume'


def test_no_process_gets_more_than_the_config_gives_it():
    """64 pairs of YouTube-VIS on 4 GPUs, one each."""
    cfg = Config.fromfile(str(ROOT / 'configs/maskprop/maskprop_htc_r50_fpn_20e_ytvis2019.py'))
    assert not work.spread_batch(cfg, 4)
    assert (cfg.train_dataloader.batch_size, cfg.optim_wrapper.accumulative_counts) == (1, 16)


@pytest.mark.parametrize(
    'hook, outputs, changed',
    [
        (dict(by_epoch=True, interval=1), ['epoch_2.pth', 'epoch_4.pth'], False),
        (dict(interval=2), ['epoch_2.pth', 'epoch_4.pth'], False),
        (dict(interval=3), ['epoch_4.pth'], False),  # the last is always saved
        (dict(interval=3), ['epoch_2.pth', 'epoch_4.pth'], True),
        (dict(by_epoch=False, interval=3), ['epoch_4.pth'], True),
        (dict(), ['epoch_4.pth'], True),
        (dict(by_epoch=False, interval=3), ['iter_9.pth'], False),
    ],
)
def test_epochs_that_a_study_needs_are_saved(hook, outputs, changed):
    found = dict(hook)
    work.save_epochs(found, outputs)
    assert found == (dict(by_epoch=True, interval=1) if changed else hook)


@pytest.mark.parametrize('dry', [[], ['--dry-run']], ids=['run', 'dry_run'])
def test_a_test_set_without_annotations_is_refused_before_training(tool, study, tmp_path, in_process, capsys, dry):
    empty = tmp_path / 'valid.json'
    empty.write_text('{"videos": [], "categories": []}')
    (tmp_path / 'tiny.py').write_text(f'{study.read_text()}\ntest_evaluator = dict(ann_file={str(empty)!r})\n')
    args = tool.parse_args([str(tmp_path / 'tiny.py'), '--out', str(tmp_path / 'out'), *dry])
    with pytest.raises(ConfigError, match=r'valid.json has no annotations.*mini_val'):
        tool.ablate(args)
    empty.unlink()
    if dry:  # the data may come later
        tool.ablate(args)
        assert 'valid.json: no such file; the study will need it' in capsys.readouterr().out
    else:
        with pytest.raises(ConfigError, match='valid.json: no such file'):
            tool.ablate(args)
    assert not in_process


def test_an_output_folder_that_cannot_be_written_is_refused_first(tool, study, tmp_path, in_process):
    (tmp_path / 'out').write_text('a file')
    with pytest.raises(OSError, match='--out .*out: is a file'):
        tool.ablate(tool.parse_args([str(study), '--out', str(tmp_path / 'out')]))
    assert not in_process


@pytest.mark.slow
@pytest.mark.xdist_group('processes')
@pytest.mark.skipif(sys.platform != 'linux', reason='prctl is of Linux')
def test_a_training_ends_with_its_job(tmp_path):
    started = tmp_path / 'pid'
    child = f'import os, time; open({str(started)!r}, "w").write(str(os.getpid())); time.sleep(300)'
    code = f'from maskprop.ablation.work import run_python; run_python(["-c", {child!r}], "job")'
    parent = subprocess.Popen([sys.executable, '-c', code], cwd=ROOT, env={**os.environ, 'PYTHONPATH': str(ROOT)})
    _wait_for(lambda: started.is_file() and started.read_text())
    pid = int(started.read_text())
    parent.kill()
    parent.wait()
    try:
        _wait_for(lambda: not _runs(pid), seconds=20)
    finally:
        if _runs(pid):
            os.kill(pid, signal.SIGKILL)


def _runs(pid: int) -> bool:
    try:
        return Path(f'/proc/{pid}/stat').read_text().rpartition(')')[2].split()[0] != 'Z'
    except FileNotFoundError:
        return False


def _wait_for(condition, seconds: float = 120) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)


# -- processes of their own


def run_tool(*arguments: str) -> subprocess.CompletedProcess:
    env = {**os.environ, 'OMP_NUM_THREADS': '1', 'PYTHONPATH': str(ROOT)}
    command = [sys.executable, str(ROOT / 'tools/ablate.py'), *map(str, arguments)]
    return subprocess.run(command, env=env, capture_output=True, text=True, timeout=300)


@pytest.mark.slow
@pytest.mark.xdist_group('processes')
def test_jobs_run_in_processes_and_failures_are_shown(tool, tmp_path):
    file = write_study(tmp_path, DEMO, [dict(name='plain')], synthetic=dict(videos=1, val_videos=1, frames=2))
    jobs = plan([load_study(file)], tmp_path / 'out')
    args = tool.parse_args([str(file), '--out', str(tmp_path / 'out')])
    tool.launch(jobs[0], 0, args)
    assert jobs[0].is_done() and len(list(jobs[0].folder.glob('JPEGImages/*/*.jpg'))) == 4
    assert 'maskprop synthetic' in (jobs[0].folder / 'job.log').read_text()
    heads = next(job for job in jobs if job.level == 'test')
    with pytest.raises(JobFailed, match='results/1/plain needs detectors'):
        tool.launch(heads, 0, args)


@pytest.mark.slow
@pytest.mark.xdist_group('processes')
def test_slurm_arrays_have_all_jobs_by_level(tmp_path):
    (tmp_path / 'sbatch').write_text(
        '#!/bin/sh\necho "$@" >> "$(dirname "$0")/calls"\nwc -l < "$(dirname "$0")/calls"\n'
    )
    (tmp_path / 'sbatch').chmod(0o755)
    file = write_study(tmp_path, DEMO)
    for job in plan([load_study(file)], tmp_path / 'out')[:1]:  # numbers stay when jobs are done
        run_job(job, make_outputs, NO_TIMINGS)
    env = {**os.environ, 'PATH': f'{tmp_path}:{os.environ["PATH"]}', 'PYTHON': sys.executable, 'GPUS': '4'}
    command = ['bash', str(ROOT / 'tools/slurm_ablate.sh'), 'part', str(file), '--out', str(tmp_path / 'out')]
    subprocess.run(command, env=env, check=True, capture_output=True, timeout=300)
    calls = (tmp_path / 'calls').read_text().splitlines()
    arrays = [call.split('--array=')[1].split('%')[0] for call in calls]
    assert arrays == ['0-1', '0-1', '0-3', '0-5', '0-0']
    assert '--dependency' not in calls[0]
    assert [f'--dependency=afterok:{n} ' in call for n, call in enumerate(calls[1:], 1)] == [True] * 4
    assert all('--gres=gpu:4' in c and '--processes 4 --job' in c for c in calls)
    # what sh makes of the third level's job 2: names, which an edited study keeps
    script = calls[2].split(' --wrap ')[1].replace(f'{sys.executable} -u', 'echo')
    env['SLURM_ARRAY_TASK_ID'] = '2'
    said = subprocess.run(['sh', '-c', script], env=env, check=True, capture_output=True, text=True).stdout
    jobs = plan([load_study(file)], tmp_path / 'out')
    assert said.split()[-2:] == ['--job', [job for job in jobs if job.level == 'heads'][2].name]


@pytest.mark.parametrize('content, message', [
    ("x = 1", 'no study'),
    ("study = dict(title='t', rows=[dict(name='a', variant=dict(), epok=2)])", r"row 1 \(a\): epok: is no such"),
    ("study = dict(title='t', rows=[dict(name='a'), dict(name='A')])", r"file name \['a'\]"),
    ("study = dict(title='t', rows=[dict(name='a', train=dict(name='t', start='x'))])", "train.start='x'"),
    ("study = dict(title='t', rows=[])", 'study: rows: not set'),
    ("study = dict(title='t', rows=[dict(name='a', epoch=1, train=dict(name='t'))])", 'epoch'),
    ("study = dict(title='t', rows=[dict(name='a', train=dict(name='t', options={'a': 1})),"
     " dict(name='b', train=dict(name='t', options={'a': 2}))])", "row b: another training is named 't'"),
])  # fmt: skip
def test_bad_studies_are_refused(tmp_path, content, message):
    (tmp_path / 'bad.py').write_text(content)
    with pytest.raises(ConfigError, match=message):
        load_study(tmp_path / 'bad.py')
