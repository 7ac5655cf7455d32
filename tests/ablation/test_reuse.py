"""Trainings and sets of maskprop demo-full in place of a study's own, if they are the same."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from mmengine.config import Config

from maskprop.ablation.jobs import plan
from maskprop.ablation.reuse import _find_set, reuse_demos
from maskprop.ablation.scheduler import run_job
from maskprop.ablation.study import load_study
from maskprop.engine.config import ConfigError
from tests.ablation.tiny_study import DEMO, NO_TIMINGS, call, make_outputs, write_study


def write_demo(folder: Path, seed: int, **options) -> Path:
    """What maskprop demo-full leaves: a trained config, checkpoints, the set."""
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
    (folder / 'demo/train/20260101').mkdir()
    (folder / 'demo/train/20260101/20260101.log').write_text('    Distributed training: True\n    GPU number: 2\n')
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
    run_job(jobs['data/2'], lambda job: None, NO_TIMINGS)  # which finds its set
    assert jobs[done[0]].is_done()


def test_a_demos_set_is_compared_with_the_one_that_is_there(tmp_path, monkeypatch):
    demo, jobs = write_demo(tmp_path, seed=2), plan([load_study(write_study(tmp_path, DEMO))], tmp_path / 'out')
    of_set = next(job for job in jobs if job.name == 'data/2')
    run_job(of_set, make_outputs, NO_TIMINGS)  # another one
    with pytest.raises(ConfigError, match='data/2 is another set than .*some_set'):
        reuse_demos([demo], jobs)
    for name in ('train', 'val'):
        (of_set.folder / f'annotations/{name}.json').write_text('{}')  # the demo's
    (of_set.folder / 'job.json').unlink()
    assert len(reuse_demos([demo], jobs)) == 1

    other = tmp_path / 'elsewhere/data/some_set/annotations'  # of the folder in which the command is given
    other.mkdir(parents=True)
    (other / 'train.json').write_text('other')
    monkeypatch.chdir(tmp_path / 'elsewhere')
    assert _find_set(demo, Config.fromfile(demo / 'train/config.py')) == (tmp_path / 'data/some_set').resolve()


def test_a_demo_of_another_batch_is_refused(tmp_path):
    demo, jobs = write_demo(tmp_path, seed=2), plan([load_study(write_study(tmp_path, DEMO))], tmp_path / 'out')
    log = demo / 'train/20260101/20260101.log'
    log.write_text(log.read_text().replace('number: 2', 'number: 1'))
    with pytest.raises(ConfigError, match=r'in batches of 4 \(1 processes x 4\), the study means 8'):
        reuse_demos([demo], jobs)
    log.unlink()
    assert 'is not known' in reuse_demos([demo], jobs)[-1]


@pytest.mark.slow
def test_looking_links_nothing(tool, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)  # the tool changes the folder
    demo, file = write_demo(tmp_path, seed=2), write_study(tmp_path, DEMO)
    for option in ('--dry-run', '--list-jobs'):
        call(tool, monkeypatch, file, '--out', tmp_path / 'out', '--reuse-demo', demo, option)
        assert capsys.readouterr().out.count('would be reused: ') == 2 and not (tmp_path / 'out').exists()
    call(tool, monkeypatch, file, '--out', tmp_path / 'out', '--reuse-demo', demo, '--reuse-only')
    assert capsys.readouterr().out.count('reused: ') == 2
    assert len(list(tmp_path.glob('out/detectors/*/2/epoch_8.pth'))) == 1


@pytest.mark.slow
def test_a_reused_training_that_is_made_anew_leaves_the_demo_alone(tmp_path):
    demo, jobs = write_demo(tmp_path, seed=2), plan([load_study(write_study(tmp_path, DEMO))], tmp_path / 'out')
    reuse_demos([demo], jobs)
    of_set, detector = (
        next(j for j in jobs if j.name.startswith(n) and j.name.endswith('/2')) for n in ('da', 'de')
    )
    (of_set.folder / 'annotations').unlink()
    run_job(of_set, make_outputs, NO_TIMINGS)  # another one
    run_job(detector, make_outputs, NO_TIMINGS)
    assert (detector.folder / 'epoch_8.pth').read_text() == 'made'
    assert (demo / 'train/epoch_8.pth').read_text() == 'weights 8'


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
