"""Checkpoints whose content is of another kind than it should be are refused, with the field's name."""

from __future__ import annotations

from contextlib import nullcontext

import pytest
import torch

from maskprop.engine.checkpoint import CheckpointError
from maskprop.engine.checkpoint_content import check_content

SOUND = dict(
    state_dict={'w': torch.zeros(1)},
    optimizer=dict(state={}, param_groups=[]),
    meta=dict(epoch=1, iter=5, seed=3, dataset_meta=dict(classes=('a', 'b'), category_ids=[1, 2])),
    message_hub=dict(log_scalars={}, runtime_info=dict(iters_per_epoch=5), resumed_keys={}),
)


def test_sound_ones_pass():
    check_content(SOUND, 'x.pth', resume=True)
    check_content(dict(state_dict={}), 'x.pth')
    check_content(dict(meta=None, state_dict={}), 'x.pth')
    check_content(dict(meta=dict(CLASSES=('a',)), state_dict={}), 'x.pth')


@pytest.mark.parametrize(
    'content, field',
    [
        (5, 'expected a dict with a state_dict, found 5'),
        ([1], 'found a list'),
        (dict(meta='x'), "meta: expected a dict, found 'x'"),
        (dict(meta=dict(dataset_meta=5)), 'meta.dataset_meta: '),
        (dict(meta=dict(dataset_meta=dict(classes=5))), 'meta.dataset_meta.classes: '),
        (dict(meta=dict(dataset_meta=dict(CLASSES='cat'))), 'meta.dataset_meta.classes: '),
        (
            dict(meta=dict(dataset_meta=dict(classes=['a'], category_ids=['x']))),
            'meta.dataset_meta.category_ids: ',
        ),
        (dict(meta=dict(CLASSES=[1])), 'meta.classes: '),
    ],
)
def test_of_any_checkpoint(content, field):
    with pytest.raises(CheckpointError, match='^checkpoint x.pth: ') as error:
        check_content(content, 'x.pth')
    assert field in str(error.value)


@pytest.mark.parametrize(
    'key, value', [('epoch', 'x'), ('iter', -5), ('iter', 10**9 * 9), ('iter', None), ('seed', 'x')]
)
def test_what_a_training_goes_on_from(key, value):
    with pytest.raises(CheckpointError, match=f'x.pth: meta.{key}: expected a whole number'):
        check_content({**SOUND, 'meta': {**SOUND['meta'], key: value}}, 'x.pth', resume=True)


@pytest.mark.parametrize('done, refused', [(4, True), (5, False), (10, False), (11, True), (10**9, True)])
def test_iterations_are_of_the_epochs_that_are_done(done, refused):
    content = {**SOUND, 'meta': {**SOUND['meta'], 'iter': done}}
    refusal = pytest.raises(CheckpointError, match=f'x.pth: meta.iter: expected 5 to 10, .* found {done};')
    with refusal if refused else nullcontext():
        check_content(content, 'x.pth', resume=True)


@pytest.mark.parametrize('key', ['message_hub', 'optimizer', 'state_dict'])
def test_containers_that_a_training_needs(key):
    with pytest.raises(CheckpointError, match=f'x.pth: {key}: expected a dict, found None'):
        check_content({**SOUND, key: None}, 'x.pth', resume=True)


@pytest.mark.parametrize(
    'key, value, field',
    [
        ('optimizer', {}, 'optimizer: expected a dict with state and param_groups'),
        ('optimizer', dict(state=5, param_groups=[]), 'optimizer.state: expected a dict, found 5'),
        ('optimizer', dict(state={}, param_groups=5), 'optimizer.param_groups: expected a list of dicts, found 5'),
        ('optimizer', dict(state={}, param_groups=[1]), 'optimizer.param_groups: expected a list of dicts'),
        ('param_schedulers', 5, 'param_schedulers: expected a list of dicts, found 5'),
        ('param_schedulers', [1], 'param_schedulers: expected a list of dicts, found a list'),
        ('random_states', [5], 'random_states: expected a list of dicts, found a list'),
    ],
)
def test_states_that_a_training_goes_on_from(key, value, field):
    with pytest.raises(CheckpointError, match=f'x.pth: {field}'):
        check_content({**SOUND, key: value}, 'x.pth', resume=True)
    check_content({**SOUND, key: value}, 'x.pth')  # its weights alone can be used
