"""Class maps: the built-in ones agree with the tables they were drawn up from, and own ones are checked."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from maskprop.datasets.stills.class_map import (
    BUILT_IN,
    SOURCES,
    load_class_map,
    read_hierarchy,
    unmapped_children,
)
from maskprop.datasets.ytvis_json import AnnotationError

TABLES = Path(__file__).parents[4] / 'shared/facts/class_maps.json'


@pytest.mark.parametrize('target', BUILT_IN)
@pytest.mark.parametrize('source', SOURCES)
def test_built_in_maps_are_the_published_tables(source, target):
    if not TABLES.is_file():
        pytest.skip(f'{TABLES} is not there')
    tables = json.loads(TABLES.read_text())
    class_map = load_class_map(source, target)
    assert class_map.category_ids == {name: int(number) for number, name in tables[target].items()}
    ours = {key: class_map.category_ids[e.to] for key, e in class_map.classes.items() if e.to}
    theirs = {r.get('coco_id', r.get('mid')): r['id'] for r in tables[f'{source}_to_{target}']}
    assert ours == theirs
    doubted = {r.get('coco_id') for r in tables[f'{source}_to_{target}'] if 'doubt' in r}
    assert {key for key, e in class_map.classes.items() if e.use == 'ignore'} == doubted


@pytest.mark.parametrize('target', BUILT_IN)
def test_the_computer_mouse_is_no_animal(target):
    assert load_class_map('coco', target).classes[74].to is None
    assert load_class_map('openimages', target).classes['/m/020lf'].to is None
    assert '/m/04rmv' in {e.key for e in load_class_map('openimages', target).sources_of('mouse')}


@pytest.mark.parametrize(
    ('target', 'mids'),
    [('ytvis2019', {'/m/01dws', '/m/01dxs', '/m/0633h'}), ('ytvis2021', {'/m/01dws', '/m/01dxs', '/m/0633h'})],
)
def test_children_that_are_other_classes_stay_out(target, mids):
    class_map = load_class_map('openimages', target)
    assert {entry.key for entry in class_map.sources_of('bear')} == mids  # neither pandas nor teddy bears
    assert [entry.name for entry in class_map.sources_of('fish')] == ['Fish', 'Goldfish']
    if target == 'ytvis2021':
        assert not {'Parrot', 'Duck'} & {entry.name for entry in class_map.sources_of('bird')}


def test_the_use_of_a_class_can_be_set():
    class_map = load_class_map('coco', 'ytvis2019')
    assert class_map.classes[2].use == class_map.classes[35].use == 'ignore'
    changed = class_map.with_uses({'bicycle': 'take', '35': 'leave_out'})
    assert (changed.classes[2].use, changed.classes[35].use) == ('take', 'leave_out')
    for uses, message in (
        ({'bycicle': 'take'}, 'bycicle=take: expected NAME=USE'),
        ({'bicycle': 'maybe'}, 'one of take, ignore, leave_out'),
        ({'bus': 'take'}, 'bus=take: it has no target'),
    ):
        with pytest.raises(AnnotationError, match=message):
            class_map.with_uses(uses)


def test_the_categories_may_be_those_of_a_file(tmp_path):
    target = tmp_path / 'train.json'
    target.write_text(json.dumps(dict(videos=[], categories=[dict(id=9, name='bird'), dict(id=4, name='dog')])))
    class_map = load_class_map('coco', str(target))
    assert class_map.category_ids == {'bird': 9, 'dog': 4}  # the map is that of 2021, which has a bird
    assert [entry.name for entry in class_map.sources_of('bird')] == ['bird']
    assert 1 not in class_map.classes and any('person' in note for note in class_map.notes)
    target.write_text(json.dumps(dict(categories=[dict(id=1, name='toaster')])))
    with pytest.raises(AnnotationError, match='none becomes a class of .*toaster'):
        load_class_map('coco', str(target))


@pytest.mark.parametrize(
    ('content', 'message'),
    [
        ([], 'classes: missing'),
        (dict(source='openimages', classes=[]), "source: found 'openimages'; expected 'coco'"),
        (dict(source='coco', classes=[3]), r'classes\[0\]: found 3'),
        (dict(source='coco', classes=[{'from': None}]), r'classes\[0\], from: found None'),
        (dict(source='coco', classes=[{'from': 1, 'use': 'x', 'to': 'dog'}]), r"classes\[0\], use: found 'x'"),
        (dict(source='coco', classes=[{'from': 1}]), r'classes\[0\], to: found None'),
        (dict(source='coco', classes=[{'from': 1, 'to': 'dog'}] * 2), 'classes: 1 twice'),
        (dict(source='coco', classes=[{'from': 1, 'to': 'toaster'}]), 'none becomes a class of ytvis2019'),
    ],
)
def test_own_maps_are_checked(tmp_path, content, message):
    path = tmp_path / 'map.json'
    path.write_text(json.dumps(content))
    with pytest.raises(AnnotationError, match=message):
        load_class_map('coco', 'ytvis2019', path)


def test_children_that_a_map_leaves_out_are_found(tmp_path):
    tree = {
        'LabelName': '/m/root',
        'Subcategory': [
            {'LabelName': '/m/01dws', 'Subcategory': [{'LabelName': '/m/0kmg4'}, {'LabelName': '/m/new'}]},
            {'LabelName': '/m/toy', 'Subcategory': [{'LabelName': '/m/0kmg4'}]},
            {'LabelName': '/m/0k4j', 'Part': [{'LabelName': '/m/tire'}]},
        ],
    }
    path = tmp_path / 'tree.json'
    path.write_text(json.dumps(tree))
    ancestors = read_hierarchy(path)
    assert ancestors['/m/0kmg4'] == {'/m/root', '/m/01dws', '/m/toy'} and ancestors['/m/tire'] == set()
    assert unmapped_children(load_class_map('openimages', 'ytvis2019'), ancestors) == {'/m/new': 'Bear'}
    path.write_text('{}')
    with pytest.raises(AnnotationError, match='a node without LabelName'):
        read_hierarchy(path)
