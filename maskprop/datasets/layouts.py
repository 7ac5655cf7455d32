"""Which files of a folder are the training, validation and test set, and where their frames are.

Without torch, so that ``--data`` of a wrong folder is told at once. All that is guessed is in the tables here.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

from maskprop.datasets.ytvis_json import AnnotationError, category_name, load_ytvis, read_json
from maskprop.utils.text import plural

# (training, validation): what maskprop split writes comes first, then the layouts of published sets, whose
# validation set has no annotations
PAIRS = (
    *(('mini_train.json', 'mini_val.json'), ('annotations/mini_train.json', 'annotations/mini_val.json')),
    ('train/mini_train.json', 'train/mini_val.json'),
    *(('train.json', 'val.json'), ('annotations/train.json', 'annotations/val.json')),
    *(('train.json', 'valid.json'), ('annotations/train.json', 'annotations/valid.json')),
    ('train/instances.json', 'valid/instances.json'),
    ('annotations_train.json', 'annotations_valid.json'),
)
TESTS = ('test.json', 'annotations/test.json', 'test/instances.json', 'annotations_test.json')
# folders that frames are in, beside an annotation file or above its folder
COMMON = ('JPEGImages', 'images', 'frames', '.')
OF_SPLIT = {'train': ('train',), 'val': ('val', 'valid'), 'test': ('test',)}
INSIDE = ('JPEGImages', 'images', '.')
BELOW = ('annotations', 'train', 'valid', 'val', 'test')  # of a set's folder: its frames may be above


@dataclass(frozen=True)
class DataSet:
    """An annotation file and its frames.

    Attributes:
        ann_file: in YouTube-VIS format. images: the folder that its ``file_names`` start from.
        classes, category_ids: in the order of the ids.
        videos, frames, objects: how many it lists; no objects in published validation sets.
    """

    ann_file: Path
    images: Path
    classes: tuple[str, ...]
    category_ids: tuple[int, ...]
    videos: int
    frames: int
    objects: int

    def __str__(self) -> str:
        objects = plural(self.objects, 'object') if self.objects else 'without annotations'
        counts = f'{plural(self.videos, "video")}, {plural(self.frames, "frame")}, {objects}'
        counts += f', {plural(len(self.classes), "class")}'
        return f'{self.ann_file} ({counts}), frames in {self.images}'


@dataclass(frozen=True)
class DataSets:
    """The sets of a folder or file; None: there is none.

    Attributes:
        note: what a user should know of the choice; empty if nothing.
    """

    train: DataSet | None = None
    val: DataSet | None = None
    test: DataSet | None = None
    note: str = ''


def find_sets(path: str | Path, task: str) -> DataSets:
    """The sets that a folder or an annotation file has.

    Args:
        path: a folder in one of the layouts above; or a file, which is then the training and test set.
        task: 'train', which needs a training set; 'val' or 'test': a test of that set, which is the only one read.

    Raises:
        AnnotationError: there is none; its file has errors; its frames are not found; training and validation set
            have other classes. The message says where was looked.
    """
    path = Path(path)
    if path.is_dir():
        sets = _sets_of_folder(path, task)
    elif path.is_file():
        sets = _sets_of_file(path, task)
    else:
        raise AnnotationError(f'--data {path}: no such folder or file')
    if sets.train and sets.val and sets.train.classes != sets.val.classes:
        raise AnnotationError(
            f'{sets.val.ann_file}: categories: found {list(sets.val.classes)} in the order of their ids, but '
            f'{sets.train.ann_file} has {list(sets.train.classes)}; training and validation set need the same'
        )
    return sets


def _sets_of_file(path: Path, task: str) -> DataSets:
    if task == 'val':
        raise AnnotationError(f'--data {path}: is one set, and --split chooses among several; leave --split out')
    only = _read(path)
    if task == 'test':
        return DataSets(test=only)
    if not only.objects:
        raise AnnotationError(f'--data {path}: annotations: none, so there is nothing to train on')
    return DataSets(train=only, test=only, note=f'One file has no validation set. {_split_it(path)}')


def _sets_of_folder(folder: Path, task: str) -> DataSets:
    alone = _first_of(folder, [(name,) for name, _ in PAIRS])
    train: str | None = alone[0] if alone else None
    val: str | None = None
    if pair := _first_of(folder, PAIRS):
        train, val = pair
    elif task != 'train' and (lone := _first_of(folder, [(name,) for _, name in PAIRS])):
        (val,) = lone  # a test needs no training set beside it
    if task == 'train' and train is None:
        raise AnnotationError(_nothing_found(folder, 'training set', [name for name, _ in PAIRS]))
    if task == 'val' and val is None:
        raise AnnotationError(_nothing_found(folder, 'validation set', [name for _, name in PAIRS]))
    validation = _read(folder / val) if val else None
    if task == 'val':
        return DataSets(test=validation)
    scored = validation if validation and validation.objects else None
    if task == 'test':
        test = _test_set(folder, validation) or scored
        if test is None:
            raise AnnotationError(_nothing_found(folder, 'test set', [*TESTS, *(name for _, name in PAIRS)]))
        return DataSets(test=test)
    assert train is not None  # looked at above
    training, notes = _read(folder / train), []
    if scored is None:
        notes.append(f'There is no annotated validation set in {folder}. {_split_it(training.ann_file)}')
    try:
        test = _test_set(folder, validation)
    except AnnotationError as error:  # a training needs none
        test = None
        notes.append(f'The test set is left out: {error}')
    return DataSets(train=training, val=scored, test=test or scored or training, note='\n'.join(notes))


def _first_of(folder: Path, groups: Iterable[tuple[str, ...]]) -> tuple[str, ...] | None:
    """The first group of names that are all there."""
    return next((names for names in groups if all((folder / name).is_file() for name in names)), None)


def _test_set(folder: Path, validation: DataSet | None) -> DataSet | None:
    """A published validation set, whose results a server scores, before a test set."""
    published = [folder / name for _, name in PAIRS if 'valid' in name]
    for path in (*published, *(folder / name for name in TESTS)):
        if validation and path == validation.ann_file:
            if not validation.objects:
                return validation
        elif path.is_file():
            return _read(path)
    return None


def _split_it(path: Path) -> str:
    return (
        f'For AP after each epoch and the best checkpoint: maskprop split {path} --val-share 0.2, then --data '
        f'{path.parent.parent if path.parent.name in BELOW else path.parent}'
    )


def _split_of(path: Path) -> str:
    """Whose frames a file is of, by its name."""
    words = f'{path.parent.name} {path.name}' if path.name == 'instances.json' else path.name
    if 'mini' in words:  # both are parts of a training set
        return 'train'
    return next((split for split in ('val', 'test') if split in words), 'train')


def _nothing_found(folder: Path, kind: str, names: list[str]) -> str:
    looked = f'--data {folder}: no {kind} there; looked for {", ".join(dict.fromkeys(names))}'
    others = [*sorted(folder.glob('*.json')), *sorted(folder.glob('annotations/*.json'))]
    if not others:
        return f'{looked}. How to make one: docs/data.md'
    there = ', '.join(path.name for path in others[:4])
    return (
        f'{looked}. It has {there}: make two sets of it by maskprop split {others[0]} --val-share 0.2, or give '
        f'the file itself: --data {others[0]}'
    )


def _read(path: Path) -> DataSet:
    data = read_json(path)
    try:
        videos = [
            (len(video['file_names']), str(video['file_names'][0]).replace('\\', '/')) for video in data['videos']
        ]
        categories = sorted((category['id'], category_name(category)) for category in data['categories'])
        objects = len(data.get('annotations') or ())
        if not (videos and categories):
            raise KeyError
    except (AttributeError, IndexError, KeyError, TypeError):
        load_ytvis(path)  # says what is wrong
        raise AnnotationError(f'{path}: not in YouTube-VIS format; maskprop check {path} tells more') from None
    return DataSet(
        ann_file=path,
        images=_find_images(path, [first for _, first in videos]),
        classes=tuple(name for _, name in categories),
        category_ids=tuple(number for number, _ in categories),
        videos=len(videos),
        frames=sum(frames for frames, _ in videos),
        objects=objects,
    )


def _find_images(path: Path, firsts: list[str]) -> Path:
    """The folder with the first frame of every video, or of most."""
    folders = list(dict.fromkeys(_image_folders(path, _split_of(path))))
    found = {folder: sum((folder / first).is_file() for first in firsts) for folder in folders}
    best = max(folders, key=lambda folder: found[folder])  # the first of equals
    if not found[best]:
        raise AnnotationError(
            f'{path}: videos: its frame {firsts[0]} is in none of {", ".join(map(str, folders))}; '
            f'put the frames, or a link to their folder, into one of these: ln -s FOLDER {path.parent / "images"}'
        )
    return best


def _image_folders(path: Path, split: str) -> Iterator[Path]:
    """Where frames may be: those of the split first, then of all, then of other splits."""
    roots = [path.parent, *([path.parent.parent] if path.parent.name in BELOW else [])]
    own = [f'{name}/{inside}' for name, inside in product(OF_SPLIT[split], INSIDE)]
    others = [name for key, names in OF_SPLIT.items() if key != split for name in names]
    others = [f'{name}/{inside}' for name, inside in product(others, INSIDE)]
    for names in (own, COMMON, others):
        yield from (root / name for root, name in product(roots, names))


def metainfo(data: DataSet) -> dict[str, Any]:
    """As of a data set of mmengine: names and category ids by label."""
    return dict(classes=data.classes, category_ids=list(data.category_ids))
