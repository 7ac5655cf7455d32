"""Which settings define a job, and what the jobs of a study get."""

from __future__ import annotations

from pathlib import Path

import pytest
from mmengine.config import Config

from maskprop.ablation.checks import unused_settings
from maskprop.ablation.job_checks import check_models, check_tests
from maskprop.ablation.jobs import evaluators
from maskprop.ablation.settings import differences, training_settings
from maskprop.ablation.settings import test_settings as settings_of_test
from maskprop.ablation.study import load_study
from maskprop.commands.ablate import check_sets
from maskprop.engine.config import ConfigError
from maskprop.utils.errors import UserError
from tests.ablation.tiny_study import make_outputs, plan_study, write_study

BASE = 'configs/demo/maskprop_tiny_synthetic.py'
WHOLE_BASE = str(Path(BASE).resolve())
REID = 'configs/tracking_by_detection/reid_tiny_synthetic.py'
HEADS_CONFIG = 'configs/ablations/_base_/heads.py'
MIXTURE = """
videos = _base_.train_dataloader.dataset
pasted = dict(videos, ann_file='pasted/annotations/train.json', data_prefix=dict(img_path='pasted/JPEGImages'))
mixture = dict(type='ConcatVideoDataset', datasets=[videos, pasted])
train_dataloader = dict(dataset=dict(_delete_=True, type='RepeatDataset', times=2, dataset=mixture))
"""
HEADS = [dict(name='heads', train=dict(name='heads'))]
FROZEN = dict(name='h', options={'model.frozen': ['detector']})


def option(key: str, value: object, train: bool = False) -> dict:
    """A study of one row, or of one training, that sets a key."""
    options = {key: value}
    return dict(
        rows=[dict(name='a', train=dict(name='h', options=options)) if train else dict(name='a', options=options)]
    )


def changed(config: str = BASE, own_data: bool = False, settings=training_settings, **options) -> bool:
    """Whether options change the settings."""
    cfg, other = Config.fromfile(config), Config.fromfile(config)
    other.merge_from_dict({key.replace('__', '.'): value for key, value in options.items()})
    old, new = settings(cfg, own_data), settings(other, own_data)
    assert bool(differences(old, new)) is (old != new)
    return old != new


def test_what_changes_a_training():
    assert changed(load_from='weights.pth')
    assert changed(custom_hooks=[dict(type='EMAHook')])
    assert changed(model__propagation_head__match_channels=None)  # stated, whatever its default
    assert changed(REID, train_dataloader__batch_size=2)  # there is no whole batch
    assert changed(REID, model__head__num_classes=7)
    assert changed(own_data=True, train_dataloader__dataset__data_root='other/')
    assert changed(own_data=True, train_dataloader__dataset__ann_file='other.json')


def test_what_changes_no_training():
    assert not changed(train_dataloader__dataset__data_root='other/')  # that of the seed
    assert not changed(train_dataloader__batch_size=2)  # 8 in all
    assert not changed(model__detector__roi_head__bbox_head__num_classes=None)
    assert not changed(train_dataloader__num_workers=5, model__clip_radius=1, work_dir='elsewhere')


def test_what_changes_a_test():
    assert changed(settings=settings_of_test, model__merge_iou=None)  # its default is .7
    assert changed(own_data=True, settings=settings_of_test, test_evaluator__ann_file='other.json')
    assert changed(own_data=True, settings=settings_of_test, test_dataloader__dataset__data_root='other/')
    assert not changed(settings=settings_of_test, test_dataloader__dataset__data_root='other/')


def test_differences_tell_none_from_absent():
    assert differences(dict(a=None), {}) == ['a: None before, now not set']
    assert differences(dict(a=dict(b=1)), dict(a=dict(b=None))) == ['a.b: 1 before, now None']


@pytest.mark.parametrize('start', ['detector', 'model'])
def test_weights_of_the_config_are_not_loaded_over_those_of_the_seed(tmp_path, start):
    base = tmp_path / 'base.py'
    base.write_text(f"_base_ = [{str(Path(BASE).resolve())!r}]\nload_from = 'demo.pth'\n")
    file = write_study(tmp_path, BASE, [dict(name='a', train=dict(name='heads', start=start))])
    file.write_text(file.read_text().replace(f'_base_ = [{BASE!r}]', f'_base_ = [{str(base)!r}]'))
    heads = [job for job in plan_study(file, tmp_path / 'out') if job.level == 'heads']
    assert len(heads) == 2
    for job in heads:
        checkpoint = job.needs[0].folder / 'epoch_8.pth'
        assert job.details['cfg'].load_from == (None if start == 'detector' else str(checkpoint))


def test_rows_of_a_pass_have_each_its_own_net(tmp_path):
    other = tmp_path / 'other_net.py'
    other.write_text(f'_base_ = [{str(Path(REID).resolve())!r}]\ntrain_dataloader = dict(batch_size=2)\n')
    variant = dict(linker=dict(reid='{net}'))
    rows = [
        dict(name='a', variant=variant, nets=dict(net=REID)),
        dict(name='b', variant=variant, nets=dict(net=str(other))),
        dict(name='c', variant=variant, nets=dict(net=REID)),
    ]
    jobs = plan_study(write_study(tmp_path, str(Path(BASE).resolve()), rows, seeds=(1,)), tmp_path / 'out')
    test = next(job for job in jobs if job.level == 'test')
    files = [test.details['rows'][name]['linker']['reid'] for name in 'abc']
    assert files[0] == files[2] != files[1]
    nets = [job for job in test.needs if job.level == 'heads']
    assert {str(job.folder / 'iter_1000.pth') for job in nets} == set(files) and len(nets) == 2


def test_heads_of_another_detector_have_a_folder_of_their_own(tmp_path):
    base = str(Path(BASE).resolve())
    file = write_study(tmp_path, base, HEADS)
    jobs = plan_study(file, tmp_path / 'out')
    detector, before = (next(job for job in jobs if job.level == level) for level in ('detector', 'heads'))
    make_outputs(detector)
    detector.write_record(0.0, done=True, reused='demo')
    write_study(tmp_path, base, [*HEADS, dict(name='weak', masks_epoch=1)])
    after = next(job for job in plan_study(file, tmp_path / 'out') if job.level == 'heads')
    assert after.needs[0].name.endswith('_all_epochs') and after.folder != before.folder


def test_a_training_may_follow_another_or_begin_from_scratch(tmp_path):
    base = str(Path(BASE).resolve())
    short = tmp_path / 'short.py'
    short.write_text(f'_base_ = [{base!r}]\ntrain_cfg = dict(max_epochs=1)\n')
    first = dict(name='first', start='model', config=str(short))
    rows = [
        dict(name='a', train=dict(name='after', after=first)),
        dict(name='b', train=dict(name='fresh', start='scratch')),
        dict(name='c', train=first),
    ]
    jobs = plan_study(write_study(tmp_path, base, rows, seeds=(1,)), tmp_path / 'out')
    assert [job.level for job in jobs if job.level not in ('test', 'table')] == [
        'set', 'detector', 'pretraining', 'heads', 'heads',
    ]  # fmt: skip
    data, detector, before, after, fresh = jobs[:5]
    assert before.needs == [detector, data] and after.needs == [before, data] and fresh.needs == [data]
    assert before.details['checkpoint'] == 'epoch_1.pth' and after.details['checkpoint'] == 'epoch_8.pth'
    assert before.details['cfg'].load_from == str(detector.folder / 'epoch_8.pth')
    assert after.details['cfg'].load_from == str(before.folder / 'epoch_1.pth')
    assert fresh.details['cfg'].load_from is None and not fresh.details['cfg'].model.detector.get('init_cfg')
    tests = {job.details['cfg'] and next(iter(job.details['rows'])): job for job in jobs if job.level == 'test'}
    assert tests['a'].details['checkpoint'] == str(after.folder / 'epoch_8.pth')
    assert tests['c'].needs[0] is before


@pytest.mark.parametrize(
    'train,message',
    [
        (dict(after=dict(name='b', after=dict(name='c'))), 'a training can follow one other'),
        (dict(after=dict(name='b', steps=3)), 'train.after: steps: is no such key'),
        (dict(start='nothing'), "start='nothing'"),
        (dict(config='none.py'), 'none.py'),
        (dict(after=dict(name='a', start='model')), "another training is named 'a' too"),
    ],
    ids=['chain', 'key', 'start', 'config', 'name'],
)
def test_bad_trainings(tmp_path, train, message):
    file = write_study(tmp_path, str(Path(BASE).resolve()), [dict(name='row', train=dict(name='a', **train))])
    with pytest.raises(ConfigError, match=message):
        plan_study(file, tmp_path / 'out')


def test_a_second_set_is_pasted_from_the_first(tmp_path):
    base = str(Path(BASE).resolve())
    pasted = dict(videos=3, frame_range=(0.5, 0.6))
    file = write_study(tmp_path, base, HEADS, seeds=(1,), pasted=pasted)
    data = plan_study(file, tmp_path / 'out')[0]
    assert data.details['pasted'] == ['--videos=3', '--frame-range', '0.5', '0.6', '--seed=1']
    assert 'pasted/annotations/train.json' in data.details['outputs'] and data.name != 'data/1'
    plain = plan_study(write_study(tmp_path, base, HEADS, seeds=(1,)), tmp_path / 'out')[0]
    assert plain.name == 'data/1' and set(plain.settings) == {'arguments'}


def test_all_sets_of_a_mixture_are_those_of_the_seed(tmp_path):
    base = tmp_path / 'base.py'
    base.write_text(f'_base_ = [{WHOLE_BASE!r}]\n{MIXTURE}')
    jobs = plan_study(write_study(tmp_path, str(base), HEADS, seeds=(1,), pasted=dict(videos=3)), tmp_path / 'out')
    (data,) = (job for job in jobs if job.level == 'set')
    for job in (job for job in jobs if job.level in ('detector', 'heads')):
        repeated = job.details['cfg'].train_dataloader.dataset
        assert [part.data_root for part in repeated.dataset.datasets] == [f'{data.folder}/'] * 2
        assert 'data_root' not in repeated and 'data_root' not in repeated.dataset


@pytest.mark.parametrize(
    'inner', ["type='ConcatVideoDataset', datasets=[only]", "type='RepeatDataset', dataset=only"]
)
def test_a_study_tests_on_a_single_set(tmp_path, inner):
    base = tmp_path / 'base.py'
    wrapped = f'test_dataloader = dict(dataset=dict(_delete_=True, {inner}))'
    base.write_text(f'_base_ = [{WHOLE_BASE!r}]\nonly = _base_.test_dataloader.dataset\n{wrapped}\n')
    with pytest.raises(ConfigError, match='tiny.py: test_dataloader.dataset is a .* a single set.* in its datas'):
        plan_study(write_study(tmp_path, str(base), HEADS), tmp_path / 'out')


def test_a_row_with_a_config_of_its_own_trains_and_is_tested_with_it(tmp_path):
    other = str(Path('configs/masktrack_rcnn/masktrack_rcnn_tiny_synthetic.py').resolve())
    train = dict(name='track', options={'model.frozen': ['detector']})
    rows = [
        *HEADS,
        dict(name='b', config=other, train=train),
        dict(name='c', config=other, variant=dict(fill=True), train=train),
    ]
    jobs = plan_study(write_study(tmp_path, str(Path(BASE).resolve()), rows, seeds=(1,)), tmp_path / 'out')
    heads = {job.name.split('/')[1].rpartition('_')[0]: job for job in jobs if job.level == 'heads'}
    tests = [job for job in jobs if job.level == 'test']
    assert heads['heads'].details['cfg'].model.get('track_head') is None
    assert heads['track'].details['cfg'].model.track_head.type == 'TrackHead'
    assert heads['track'].details['cfg'].model.frozen == ['detector']
    assert [list(job.details['rows']) for job in tests] == [['heads'], ['b', 'c']]
    assert [job.details['cfg'].model.linker.type for job in tests] == ['ClipLinker', 'MaskTrackLinker']


def test_a_training_loads_nets_of_the_seed(tmp_path):
    """Before it; where their files lie is none of its settings, but which they are."""
    key = 'model.detector.backbone.init_cfg'
    train = dict(name='heads', nets=dict(net=REID), options={key: dict(type='Pretrained', checkpoint='{net}')})
    file = write_study(tmp_path, str(Path(BASE).resolve()), [dict(name='a', train=train)], seeds=(1,))
    jobs, elsewhere = plan_study(file, tmp_path / 'out'), plan_study(file, tmp_path / 'other')
    (net,) = (job for job in jobs if job.level == 'pretraining')
    (heads,) = (job for job in jobs if job.level == 'heads')
    (test,) = (job for job in jobs if job.level == 'test')
    assert net in heads.needs and heads.settings['nets'] == {'net': [net.name, net.key]}
    for job in (heads, test):
        checkpoint = job.details['cfg'].model.detector.backbone.init_cfg.checkpoint
        assert checkpoint == str(net.folder / 'iter_1000.pth')
    assert [job.key for job in jobs] == [job.key for job in elsewhere]


def test_rows_with_other_configs_share_no_training(tmp_path):
    other = str(Path('configs/masktrack_rcnn/masktrack_rcnn_tiny_synthetic.py').resolve())
    rows = [*HEADS, dict(name='b', config=other, train=dict(name='heads'))]
    with pytest.raises(ConfigError, match="row b: another training is named 'heads' too"):
        plan_study(write_study(tmp_path, str(Path(BASE).resolve()), rows), tmp_path / 'out')


def refused(tmp_path, **study) -> str:
    study = {'title': 't', 'rows': [dict(name='a')], **study}
    file = tmp_path / 'bad.py'
    file.write_text(f'_base_ = [{str(Path(BASE).resolve())!r}]\nstudy = {study!r}\n')
    with pytest.raises(ConfigError) as error:
        plan_study(file, tmp_path / 'out')
    return str(error.value)


@pytest.mark.parametrize(
    'study, field',
    [
        (dict(rows=5), 'study: rows: '),
        (dict(rows=['a']), 'row 1: expected a dict'),
        (dict(rows=[dict(name=5)]), 'row 1 (5): name: expected str'),
        (dict(rows=[dict(name='..')]), 'makes no folder name'),
        (dict(rows=[dict(name='→→')]), 'makes no folder name'),
        (dict(rows=[dict(name='a' * 300)]), 'makes no folder name'),
        (dict(rows=[dict(name='a', options='x')]), 'options: expected dict'),
        (dict(rows=[dict(name='a', options={'modle.x': 1})]), "did you mean 'model'"),
        (dict(rows=[dict(name='a', options={'model.0': 1})]), 'model.0: '),
        (
            dict(rows=[dict(name='a', options={'model.fil': 1})]),
            "model.fil: VideoMaskRCNN has no such argument; did you mean 'fill'?",
        ),
        (dict(rows=[dict(name='a', options={'optim_wrapper.optimizer.lr': 'x'})]), 'optim_wrapper.optimizer.lr: '),
        (dict(rows=[dict(name='a', variant='x')]), 'variant: expected dict'),
        (dict(rows=[dict(name='a', variant=dict(nope=1))]), 'variant.nope: VideoMaskRCNN has no such argument'),
        (dict(rows=[dict(name='a', variant=dict(linker=dict(type='Nope')))]), 'variant.linker.type: there is no'),
        (dict(rows=[dict(name='a', epoch='x')]), 'epoch: expected int'),
        (dict(rows=[dict(name='a', epoch=-1)]), 'epoch: expected 1 or more'),
        (dict(rows=[dict(name='a', epoch=99)]), 'tests epoch 99 of the detector'),
        (dict(rows=[dict(name='a', train=dict(name='../../x'))]), 'train.name: '),
        (dict(rows=[dict(name='a', train=dict(name='h', options='zz'))]), 'train: options: expected dict'),
        (dict(rows=[dict(name='a', nets={'../x': BASE})]), 'nets: '),
        (dict(seeds=['x']), 'study: seeds: '),
        (dict(seeds=[]), 'study: seeds: expected one or more'),
        (dict(seeds=[1, 1]), 'study: seeds: expected one or more, no two alike'),
        (dict(seeds=range(10**20)), 'study: seeds: expected 1000 at most, each is trained, found range'),
        (
            dict(synthetic=dict(videos='x', val_videos=2)),
            "synthetic.videos: expected a number of 1 or more, found 'x'",
        ),
        (
            dict(rows=[dict(name='a', paper=dict(AP='x'))]),
            "paper: expected numbers in percent under AP, AP50, AP75, AR1, AR10, found AP='x'",
        ),
        (
            dict(rows=[dict(name='a', paper=dict(ap=1.0))]),
            'paper: expected numbers in percent under AP, AP50, AP75, AR1, AR10, found ap=1.0',
        ),
        (dict(rows=[dict(name='a\nb')]), 'cannot be written in a line of a table'),
        (dict(title='a\nb'), 'study: title: '),
        (dict(rows=[dict(name='a', vriant={})]), "row 1 (a): vriant: is no such key; did you mean 'variant'?"),
        (dict(rows=[dict(name='a', variant=dict(linker=5))]), 'variant.linker: expected dict'),
        (dict(rows=[dict(name='a', variant=dict(linker=dict(type='Resize')))]), "no task util 'Resize'"),
        (dict(frame_stride=0), 'study: frame_stride: expected a number from 1 to 100000'),
        (dict(frame_stride=2**30), 'study: frame_stride: expected a number from 1 to 100000'),
        (dict(bootstraps=10**6), 'study: bootstraps: expected a number from 0 to 100000'),
        (dict(seeds=[2**32]), 'study: seeds: expected a number from 0 to 4294967295'),
        (dict(synthetic={}), 'study: synthetic.videos: not set'),
        (dict(synthetic={'videos': 1, 'val_videos': 1, 5: 1}), 'synthetic: expected texts as keys, found 5'),
        (dict(rows=[dict(name='a', options={5: 1})]), 'options: expected texts as keys, found 5'),
        (dict(rows=[dict(name='a', variant={5: 1})]), 'variant: expected texts as keys, found 5'),
        (dict(rows=[dict(name='a', nets={5: BASE})]), 'nets: expected texts as keys, found 5'),
        (dict(synthetic=dict(videos=1)), 'study: synthetic.val_videos: not set'),
        (dict(detector=5), 'study: detector: expected str'),
        (dict(detector='nope.py'), 'study: detector: config nope.py: no such file'),
        (dict(synthetic=dict(videos=1, val_videos=1, frames='x')), 'synthetic.frames: expected a number'),
        (dict(synthetic=dict(videos=1, val_videos=1, seed=1)), 'synthetic.seed: each of the seeds'),
        (dict(pasted=dict(vidoes=1)), 'pasted.videos: not set'),
        (dict(rows=[dict(name='a', config='nope.py')]), 'row 1 (a): config: config nope.py: no such file'),
        (dict(rows=[dict(name='a', config='clip_length')]), 'row a: config clip_length: is a study'),
        (dict(rows=[dict(name='a', nets=dict(n=BASE))]), "no value of variant is '{n}'"),
        (dict(rows=[dict(name='a', train=dict(name='h', nets=dict(n=BASE)))]), "no value of options is '{n}'"),
        (dict(rows=[dict(name='a', variant=dict(linker=dict(type='x', net='{n}')))]), "variant asks for '{n}'"),
        (option('variants.a.fill', True), "a row's stream is set by variant"),
        (option('optim_wrapper.optimizer.lr', 1.0), 'has no effect on a test'),
        (option('model.frozen', []), 'has no effect on a test; put it into the options of train'),
        (option('model.detector.train_cfg.rcnn.pos_weight', 1), 'has no effect on a test'),
        (option('test_dataloader.dataset.data_root', 'x'), 'the study makes its set'),
        (option('model', None), 'model is not set'),
        (option('test_dataloader', None), 'test_dataloader is not set'),
        (option('model.merge_iou', 'x'), 'row a: options: config'),
        (option('load_from', 'x', train=True), "a training's weights are those of start and after"),
        (option('work_dir', 'x', train=True), 'has no effect on a training and its test'),
        (option('train_cfg.max_epochs', 0, train=True), 'neither max_epochs nor max_iters is set'),
        (option('optim_wrapper', None, train=True), 'optim_wrapper is not set'),
        (dict(detector=HEADS_CONFIG), f"detector {HEADS_CONFIG}: model.frozen names 'detector'"),
        (
            dict(rows=[dict(name='a', train=dict(FROZEN, start='scratch'))]),
            "train h: model.frozen names 'detector'",
        ),
    ],
)
def test_what_makes_no_study_is_refused_in_the_plan(tmp_path, study, field):
    assert field in refused(tmp_path, **study)


def test_seeds_may_be_a_range(tmp_path):
    file = write_study(tmp_path, WHOLE_BASE, [dict(name='a', x=1.5)], seeds=range(3))
    assert load_study(file).seeds == (0, 1, 2)


@pytest.mark.parametrize('x', ['inf', 'nan'])
def test_a_row_s_place_is_on_the_axis(tmp_path, x):
    file = write_study(tmp_path, WHOLE_BASE, [dict(name='a', x=1.5)])
    file.write_text(file.read_text().replace('1.5', f"float('{x}')"))
    with pytest.raises(ConfigError, match='x: expected a place on an axis'):
        load_study(file)


def test_each_of_several_metrics_is_on_the_seed_s_set(tmp_path):
    file = write_study(tmp_path, WHOLE_BASE, [dict(name='a')], seeds=(1,))
    metric = "dict(type='YTVISMetric', ann_file='other.json')"
    for several in (f'[{metric}]', f'dict(_delete_=True, metrics=[{metric}])'):
        file.write_text(f'{file.read_text()}\ntest_evaluator = {several}\n')
        test = next(job for job in plan_study(file, tmp_path / 'out') if job.level == 'test')
        assert [part.ann_file for part in evaluators(test.details['cfg'], 'test')] == [
            f'{test.needs[-1].folder}/annotations/val.json'
        ]


@pytest.mark.parametrize('text, message', [('{', 'not valid JSON'), ('[1]', 'no annotations'), ('{}', 'no annot')])
@pytest.mark.parametrize('root', ['', None])
def test_own_data_that_cannot_be_read(tmp_path, text, message, root):
    bad = tmp_path / 'bad.json'
    bad.write_text(text)
    file = write_study(tmp_path, WHOLE_BASE, [dict(name='a')], synthetic=None)
    dataset = dict(data_root=root, ann_file=str(bad))
    more = f'test_dataloader = dict(dataset={dataset!r})\ntest_evaluator = dict(ann_file={str(bad)!r})\n'
    file.write_text(f'{file.read_text()}\n{more}')
    with pytest.raises(UserError, match=f'bad.json.*{message}'):
        check_tests(plan_study(file, tmp_path / 'out'))


@pytest.mark.parametrize(
    'keys, message',
    [
        (option('model.detector.backbone.dept', 18), 'model.detector.backbone.dept: ResNet has no such argument'),
        (option('model.clip_radius', -1), 'row a: variant: clip_radius=-1'),
        (option('model.propagation_head', None), 'the model has no propagation_head'),
        (
            dict(rows=[dict(name='a', variant=dict(min_frames=0))]),
            'row a: variant: min_frames=0: expected 1 or more',
        ),
        (dict(rows=[dict(name='a', variant=dict(score_rule='al'))]), "row a: variant: score_rule='al' is unknown"),
        (dict(rows=[dict(name='a', variant=dict(linker=dict(tau=1)))]), 'a dict without a type'),
        (
            dict(rows=[dict(name='a', variant=dict(fill=True, linker=dict(type='BoxIoULinker')))]),
            'row a: variant: ',
        ),
    ],
)
def test_models_and_streams_are_tried_before_anything_is_trained(tmp_path, keys, message):
    keys = {'rows': [dict(name='a')], **keys}
    jobs = plan_study(write_study(tmp_path, WHOLE_BASE, name='bad', **keys), tmp_path / 'out')
    with pytest.raises(ConfigError) as error:
        check_models(jobs)
    assert message in str(error.value) and 'bad.py' in str(error.value)


def test_streams_whose_nets_are_not_trained_yet_are_not_tried(tmp_path):
    """DeepSORT's linker wants the file of its net; the rows beside it are tried."""
    linker = dict(type='MMDetTrackerLinker', tracker=dict(type='SORTTracker'))
    net = dict(
        type='ReIDNet',
        init_cfg=dict(type='Pretrained', checkpoint='{net}'),
        data_preprocessor=dict(mean=[0.0] * 3, std=[1.0] * 3),
    )
    deepsort = dict(name='deepsort', variant=dict(linker=dict(linker, reid=net)), nets=dict(net=REID))
    jobs = plan_study(write_study(tmp_path, WHOLE_BASE, [dict(name='a'), deepsort]), tmp_path / 'out')
    (test,) = (job for job in jobs if job.level == 'test' and job.details['seed'] == 1)
    check_models([test])
    test.details['nets']['deepsort'] = []
    with pytest.raises(ConfigError, match='row deepsort: variant.* checkpoint .*: no such file'):
        check_models([test])


@pytest.mark.parametrize('key', ['framez', 'categories'])
def test_sets_are_tried_before_anything_is_made(tmp_path, key):
    synthetic = dict(videos=2, val_videos=2, **{key: 99})
    jobs = plan_study(
        write_study(tmp_path, WHOLE_BASE, rows=[dict(name='a')], synthetic=synthetic), tmp_path / 'out'
    )
    with pytest.raises(ConfigError, match=f'tiny.py: study: synthetic: .*{key}'):
        check_sets(jobs)


@pytest.mark.parametrize(
    'text, message',
    [
        ('model = None', 'model is not set'),
        ('test_dataloader = dict(_delete_=True)', 'test_dataloader is not set'),
        ('train_cfg = 5', 'train_cfg: expected a dict, found 5'),
        ('test_dataloader = dict(dataset=5)', 'test_dataloader.dataset: expected dict'),
        ('none.py', 'is missing: .*none.py'),
        ('exit(3)', 'ends the program'),
    ],
)
def test_a_study_s_own_config_is_whole(tmp_path, text, message):
    file = write_study(tmp_path, str(Path(BASE).resolve()))
    written = file.read_text()
    base = f'_base_ = [{WHOLE_BASE!r}]'
    assert base in written
    file.write_text(written.replace(base, f'_base_ = [{text!r}]') if text == 'none.py' else f'{written}\n{text}\n')
    with pytest.raises(ConfigError, match=f'tiny.py.*{message}'):
        plan_study(file, tmp_path / 'out')


def test_a_schedule_that_no_training_has_is_told(tmp_path):
    file = write_study(tmp_path, WHOLE_BASE, rows=[dict(name='a')])
    assert unused_settings(load_study(file)) == []
    plain = file.read_text()
    file.write_text(f"{plain}\nmodel = dict(detect_on='key')\n")  # of its tests
    assert unused_settings(load_study(file)) == []
    file.write_text(plain)
    file.write_text(f'{file.read_text()}\ntrain_cfg = dict(max_epochs=1)\n')
    assert unused_settings(load_study(file)) == ['train_cfg.max_epochs: 8 before, now 1']
    own = write_study(tmp_path, WHOLE_BASE, rows=HEADS, name='own')  # whose heads have it
    own.write_text(f'{own.read_text()}\ntrain_cfg = dict(max_epochs=1)\n')
    assert unused_settings(load_study(own)) == []


def test_a_detector_of_iterations(tmp_path):
    base = tmp_path / 'base.py'
    loop = "dict(_delete_=True, type='IterBasedTrainLoop', max_iters=30)"
    base.write_text(f'_base_ = [{str(Path(BASE).resolve())!r}]\ntrain_cfg = {loop}\n')
    jobs = plan_study(write_study(tmp_path, str(base), rows=[dict(name='a')], seeds=(1,)), tmp_path / 'out')
    detector = next(job for job in jobs if job.level == 'detector')
    assert detector.details['outputs'] == ['iter_30.pth'] and detector.units == 30
    assert jobs[-2].details['checkpoint'].endswith('iter_30.pth')


@pytest.mark.parametrize('text', ['study = dict(', "study = 'x'", 'study = None', 'study = [1]'])
def test_files_that_are_no_study(tmp_path, text):
    (tmp_path / 'bad.py').write_text(text)
    with pytest.raises(ConfigError, match='bad.py'):
        plan_study(tmp_path / 'bad.py', tmp_path / 'out')


@pytest.mark.parametrize('text', ['[]', 'null', '5', '{}', '{"done": true, "key": 5}', '[' * 3000])
def test_a_damaged_record_counts_as_none(tmp_path, text):
    base = tmp_path / 'base.py'
    base.write_text(f'_base_ = [{str(Path(BASE).resolve())!r}]\n')
    job = plan_study(write_study(tmp_path, str(base), rows=HEADS), tmp_path / 'out')[0]
    make_outputs(job)
    (job.folder / 'job.json').write_text(text)
    assert job.record() == {} and not job.is_done()
