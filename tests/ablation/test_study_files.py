"""Every study file is read, its rows start a video, and its trainings build."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

import pytest

import maskprop

maskprop.register_all()

from mmdet.registry import MODELS  # noqa: E402

from maskprop.ablation.jobs import plan  # noqa: E402
from maskprop.ablation.study import load_study  # noqa: E402
from maskprop.ablation.tables import METRICS  # noqa: E402
from maskprop.datasets.ytvis_json import frame_indices  # noqa: E402
from maskprop.engine.num_classes import fit_num_classes  # noqa: E402

FILES = sorted(file for file in Path('configs/ablations').glob('*.py') if '\nstudy = ' in file.read_text())
STILLS = Path('configs/stills/study_tiny_synthetic.py')
HAS_LAP = importlib.util.find_spec('lap') is not None
TABLES_2 = [
    (46.6, 51.2), (44.8, 48.9), (36.0, 39.2), (32.5, 33.3), (30.6, 33.5), (30.3, 32.6), (27.5, 29.1), (26.9, 29.7),
    (26.1, 26.1),
]  # fmt: skip
PAPER = dict(  # Tables 2 to 4 and Section 5.2, read once more
    propagation_scheme=[(46.6, 51.2), (36.9, 40.2), (31.4, 33.6)],
    propagation_scheme_real=[(46.6, 51.2), (36.9, 40.2), (31.4, 33.6)],
    mask_strength=[(40.0, 42.9), (42.5, 45.6), (44.3, 48.3), (46.6, 51.2)],
    refinement=[(46.6, 51.2), (44.7, None)],
    clip_length=[(46.6, 51.2)],
    tracking_by_detection=[(46.6, 51.2), (26.1, 26.1)],
    papers_tables=TABLES_2,
    papers_tables_real=TABLES_2,
)


@pytest.mark.slow
@pytest.mark.parametrize('file', [*FILES, STILLS], ids=lambda file: file.stem)
def test_rows_and_trainings_build(file, tmp_path):
    study = load_study(file)
    jobs = plan([study], tmp_path)
    assert [job.level for job in jobs].count('table') == 1
    tests = [job for job in jobs if job.level == 'test' and job.details['seed'] == study.seeds[0]]
    assert sorted(name for job in tests for name in job.details['rows']) == sorted(row.name for row in study.rows)
    for job in jobs:
        if job.level == 'heads':  # linkers want the files of nets of their own
            job.folder.mkdir(parents=True)
            (job.folder / job.details['checkpoint']).touch()
    for job in tests:
        model = _build(job.details['cfg'])
        for name, variant in job.details['rows'].items():
            if name != 'bytetrack' or HAS_LAP:  # the trackers' own tests say what that needs
                model.start_video(**variant)
    for job in jobs:
        if job.level in ('pretraining', 'heads') and job.details['seed'] == study.seeds[0]:
            model = _build(job.details['cfg'])
            trained = {name.split('.')[0] for name, p in model.named_parameters() if p.requires_grad}
            assert trained and not trained & set(getattr(model, 'frozen', ()))
    assert all(set(row.paper) <= set(METRICS) for row in study.rows)


def _build(cfg):
    if 'roi_head' in (cfg.model.get('detector') or {}):
        fit_num_classes(cfg.model, 8 if 'davis16' in cfg.test_dataloader.dataset.data_root else 5)
    return MODELS.build(cfg.model)


def test_stages_of_the_stills_study_follow_each_other(tmp_path):
    """All rows have the same steps of stage V; S1 is on one frame a video, S2 begins with it."""
    jobs = {job.name.rpartition('_')[0]: job for job in plan([load_study(STILLS, [7])], tmp_path)}
    s1 = jobs['detectors/tiny_stage_s1']
    for name in ('warps', 'trajectory', 'pasted'):
        s2, v = jobs[f'heads/s2_{name}'], jobs[f'heads/v_s2_{name}']
        assert s2.needs[0] is s1 and v.needs[0] is s2
        assert v.details['cfg'].load_from == str(s2.folder / 'epoch_1.pth')
    assert jobs['heads/v_scratch'].needs == jobs['heads/v_all'].needs == s1.needs
    assert {job.units for name, job in jobs.items() if name.startswith('heads/v_')} == {200}
    sets = {
        name: job.details['cfg'].train_dataloader.dataset for name, job in jobs.items() if 'cfg' in job.details
    }
    assert sets['heads/v_s1'].indices == sets['heads/v_s2_warps'].indices == 10
    assert sets['heads/v_all'].indices is sets['heads/v_all_s1'].indices is None
    assert frame_indices(24, 1, sets['detectors/tiny_stage_s1'].frame_range) == range(12, 13)
    assert sets['heads/s2_warps'].frame_range == sets['detectors/tiny_stage_s1'].frame_range


@pytest.mark.parametrize('name', PAPER)
def test_papers_numbers(name):
    study = load_study(f'configs/ablations/{name}.py')
    assert [(r.paper['AP'], r.paper.get('AP75')) for r in study.rows if r.paper] == PAPER[name]


@pytest.mark.slow
def test_studies_share_detectors_and_trainings(tmp_path):
    studies = [load_study(file) for file in FILES]
    jobs = plan(studies, tmp_path)
    detectors = [job.name for job in jobs if job.level == 'detector']
    kinds = {name.split('/')[1] for name in detectors}  # synthetic, real clips, small real clips of one seed
    assert len(detectors) == 7 and len(kinds) == 3
    shared = [job for job in jobs if job.name.startswith('heads/propagation_')]
    assert len(shared) == 3  # of mask_source, mask_loss and propagation_forms
    strength = next(job for job in jobs if job.name.startswith('detectors/maskprop_tiny_synthetic'))
    assert {'epoch_1.pth', 'epoch_2.pth', 'epoch_4.pth', 'epoch_8.pth'} == set(strength.details['outputs'])


def test_example_of_the_docs_is_a_study(tmp_path):
    example = re.search(r'```python\n(.*?)```', Path('docs/ablations.md').read_text(), re.DOTALL)[1]
    base = str(Path('configs/ablations/_base_/heads.py').resolve())
    (tmp_path / 'mine.py').write_text(example.replace('_base_/heads.py', base))
    jobs = plan([load_study(tmp_path / 'mine.py')], tmp_path)
    tests = [job for job in jobs if job.level == 'test' and job.details['seed'] == 2026]
    assert [list(job.details['rows']) for job in tests] == [['T = 6', 'T = 2'], ['one class each'], ['deeper']]
    for job in tests:
        model = _build(job.details['cfg'])
        for variant in job.details['rows'].values():
            model.start_video(**variant)
    assert [job.details['cfg'].model.get('merge_iou', 0.7) for job in tests] == [0.7, None, 0.7]
