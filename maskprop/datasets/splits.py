"""Splitting an annotated set by whole videos, each category in its share."""

from __future__ import annotations

import json
import os
from contextlib import ExitStack
from pathlib import Path

import numpy as np

from maskprop.datasets.ytvis_checks import frame_key
from maskprop.datasets.ytvis_json import AnnotationError, GroundTruth, load_ytvis
from maskprop.utils.files import check_writable, replace_when_done
from maskprop.utils.text import one_line, plural

_ALL_SHARED = 'videos: all {} share frames with each other; a split would be validated on what it was trained on'


def split_videos(gt: GroundTruth, val_videos: int, seed: int) -> tuple[GroundTruth, GroundTruth]:
    """Splits into (train, val) so that val has, of each category, nearly the share of videos that it has of all.

    Videos that list the same frames stay together, as do those that are connected through others.
    Starts from videos drawn by ``seed`` and exchanges one of val for one of train, always the exchange that helps
    most, until none does. What is made small is the sum over categories of (videos in val - wanted)^2 / videos,
    where wanted = videos * val_videos / all videos; videos without objects count as one more category.

    Args:
        gt: A loaded file with annotations.
        val_videos: Number of videos of val; with videos that share frames val has the nearest number that they
            allow.
        seed: Other seeds give other splits; one seed always the same.

    Raises:
        ValueError: ``val_videos`` leaves train or val without a video, ``seed`` is below 0, or all videos are
            connected by shared frames.
    """
    if seed < 0:
        raise ValueError(f'seed: found {seed}; expected 0 or more')
    count = len(gt['videos'])
    if not 0 < val_videos < count:
        raise ValueError(f'val_videos: found {val_videos}; expected 1 to {count - 1}, the set has {count} videos')
    group = _groups(gt)
    sizes = np.bincount(group)
    if len(sizes) == 1:
        raise ValueError(_ALL_SHARED.format(count))
    has = np.zeros((len(sizes), len(gt['categories']) + 1))  # videos of each category, by group
    np.add.at(has, group, _categories_of_videos(gt))
    is_val = np.zeros(len(sizes), dtype=bool)
    is_val[_fitting(np.random.default_rng(seed).permutation(len(sizes)), sizes, val_videos)] = True
    weights = 1 / np.maximum(has.sum(0), 1)
    wanted = has.sum(0) * val_videos / count
    kinds = np.unique(np.column_stack([has, sizes]), axis=0, return_inverse=True)[1].reshape(-1)
    while True:
        surplus = has[is_val].sum(0) - wanted
        # of groups with the same categories the first will do: else this grows with val times train
        val, train = (_firsts(np.flatnonzero(chosen), kinds) for chosen in (is_val, ~is_val))
        change = _exchange_costs(has[val], has[train], surplus, weights)
        change[sizes[val][:, None] != sizes[train]] = np.inf
        best = np.unravel_index(change.argmin(), change.shape)
        if change[best] > -1e-9:
            break
        is_val[val[best[0]]], is_val[train[best[1]]] = False, True
    return _take(gt, ~is_val[group]), _take(gt, is_val[group])


def videos_of_share(path: str | Path, share: float) -> int:
    """Number of videos that is the nearest to a share of a set's, at least 1 and not all.

    Raises:
        AnnotationError: The file has errors, no annotations or one video, or all its videos share frames.
        ValueError: The share is not between 0 and 1.
    """
    if not 0 < share < 1:
        raise ValueError(f'val_share: found {share}; expected a share of the videos between 0 and 1, such as 0.2')
    count = len(_load(path)['videos'])
    return min(max(round(share * count), 1), count - 1)


def _load(path: str | Path) -> GroundTruth:
    gt = load_ytvis(path, require_annotations=True)
    if len(gt['videos']) == 1:
        raise AnnotationError(
            f'{path}: videos: has one, but train and val need one each; add videos, or train and validate on '
            'parts of this one by frame_range of the data sets (docs/data.md)'
        )
    if not _groups(gt).any():
        raise AnnotationError(f'{path}: {_ALL_SHARED.format(len(gt["videos"]))}')
    return gt


def write_split(
    path: str | Path, val_videos: int, seed: int, out_dir: str | Path | None = None, overwrite: bool = False
) -> tuple[Path, Path, str]:
    """Writes ``mini_train.json`` and ``mini_val.json``.

    Args:
        path: An annotation file with annotations.
        val_videos: Number of videos of mini-val.
        seed: See :func:`split_videos`.
        out_dir: Where to write; default: the folder of ``path``.
        overwrite: Replace the files of another split: what was trained on it would be validated on its own videos.

    Returns:
        The two files, and a table of the videos and instances of each category, with a line on the videos that
        were kept together, if any.

    Raises:
        AnnotationError: The file has errors, no annotations or one video, or all its videos share frames.
        OSError: Nothing can be written to ``out_dir``.
        ValueError: ``val_videos`` is out of range, the result would replace ``path``, or another split is there.
    """
    path = Path(path)
    folder = path.parent if out_dir is None else Path(out_dir)
    targets = folder / 'mini_train.json', folder / 'mini_val.json'
    if os.path.realpath(path) in [os.path.realpath(target) for target in targets]:
        raise ValueError(f'{path}: would be replaced by its own split; give another --out-dir')
    check_writable(folder, '--out-dir', folder=True)
    gt = _load(path)
    parts = split_videos(gt, val_videos, seed)
    texts = [json.dumps(part) for part in parts]  # compact: masks are long lists
    for target, text in zip(targets, texts, strict=True):
        if not overwrite and target.is_file() and target.read_bytes() != text.encode():
            raise ValueError(f'{target}: another split is there; pass --overwrite, or give another --out-dir')
    with ExitStack() as stack:  # at its end both are there, whole, and get their names, the last one first
        for target, text in zip(targets[::-1], texts[::-1], strict=True):
            stack.enter_context(replace_when_done(target)).write_text(text, encoding='utf-8')
        # without it a kill before mini-val has its name leaves no two files of different splits
        targets[1].unlink(missing_ok=True)
    together = _kept_together(gt, len(parts[1]['videos']), val_videos)
    return *targets, category_table(gt, *parts) + (f'\n\n{together}' if together else '')


def category_table(gt: GroundTruth, train: GroundTruth, val: GroundTruth) -> str:
    """Videos and instances of each category in all, train and val, and val's share of the videos."""
    if gt['annotations'] is None:
        raise AnnotationError('a table of categories needs annotations')
    rows: list[tuple[str, ...]] = [
        ('category', 'videos', 'train', 'val', 'share of val', 'instances', 'train', 'val')
    ]
    counts = [_count(part) for part in (gt, train, val)]
    for category in sorted(gt['categories'], key=lambda c: c['id']):
        videos, instances = zip(*(part.get(category['id'], (0, 0)) for part in counts), strict=True)
        share = f'{videos[2] / videos[0]:.1%}' if videos[0] else '-'
        rows.append((one_line(category['name']), *map(str, videos), share, *map(str, instances)))
    totals = [len(part['videos']) for part in (gt, train, val)]
    objects = [len(part['annotations'] or ()) for part in (gt, train, val)]
    rows.append(('all', *map(str, totals), f'{totals[2] / totals[0]:.1%}', *map(str, objects)))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    formats = [f'{{:<{widths[0]}}}', *(f'{{:>{width}}}' for width in widths[1:])]
    return '\n'.join('  '.join(formats).format(*row) for row in rows)


def _groups(gt: GroundTruth) -> np.ndarray:
    """(V,) int64: number of the group of each video, from 0; videos that list the same frame are in one group."""
    above = list(range(len(gt['videos'])))  # a video of the same group, the first one's is itself

    def first(video: int) -> int:
        while above[video] != video:
            above[video] = above[above[video]]
            video = above[video]
        return video

    owners: dict[str, int] = {}
    for number, video in enumerate(gt['videos']):
        for owner in {owners.setdefault(frame_key(name), number) for name in video['file_names']}:
            one, other = sorted((first(owner), first(number)))
            above[other] = one
    return np.unique([first(number) for number in above], return_inverse=True)[1].reshape(-1)


def _fitting(order: np.ndarray, sizes: np.ndarray, wanted: int) -> list[int]:
    """Groups, the first of an order that can be, whose videos are ``wanted``, or as near to it as any are."""
    sums = [1]  # of the groups of several videos, of all to come: bit n is set if some of them have n videos
    for size in sizes[order[::-1]].tolist():
        if size > 1:
            sums.append(sums[-1] | sums[-1] << size)
    alone = len(order) + 1 - len(sums)

    def can_have(videos: int) -> bool:  # the groups to come
        least = max(videos - alone, 0)  # in groups of several
        return videos >= 0 and bool(sums[-1] >> least & ((2 << videos - least) - 1))

    left = next(n for n in sorted(range(1, int(sizes.sum())), key=lambda n: abs(n - wanted)) if can_have(n))
    chosen = []
    for group, size in zip(order.tolist(), sizes[order].tolist(), strict=True):
        if size > 1:
            sums.pop()
        else:
            alone -= 1
        if can_have(left - size):
            chosen.append(group)
            left -= size
    return chosen


def _kept_together(gt: GroundTruth, found: int, wanted: int) -> str:
    """A line on the groups of videos that share frames; empty if there is none."""
    sizes = np.bincount(_groups(gt))
    videos, groups = int(sizes[sizes > 1].sum()), int((sizes > 1).sum())
    if not groups:
        return ''
    other = '' if found == wanted else f', so val has {plural(found, "video")} in place of {wanted}'
    return f'{videos} videos share frames and stay together, in {plural(groups, "group")}{other}'


def _categories_of_videos(gt: GroundTruth) -> np.ndarray:
    """(V, C + 1) float64 of 0 and 1: which categories a video shows; the last column: none."""
    column = {category['id']: i for i, category in enumerate(gt['categories'])}
    row = {video['id']: i for i, video in enumerate(gt['videos'])}
    has = np.zeros((len(row), len(column) + 1))
    for annotation in gt['annotations'] or []:
        has[row[annotation['video_id']], column[annotation['category_id']]] = 1
    has[:, -1] = has.sum(1) == 0
    return has


def _firsts(videos: np.ndarray, kinds: np.ndarray) -> np.ndarray:
    """The first video of each kind, in order."""
    return videos[np.sort(np.unique(kinds[videos], return_index=True)[1])]


def _exchange_costs(val: np.ndarray, train: np.ndarray, surplus: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """(n, m): change of sum w (surplus + j - i)^2 when i of val [n, C] is exchanged for j of train [m, C]."""
    linear = 2 * (train @ (weights * surplus))[None] - 2 * (val @ (weights * surplus))[:, None]
    square = (val**2 @ weights)[:, None] + (train**2 @ weights)[None] - 2 * (val * weights) @ train.T
    return linear + square


def _take(gt: GroundTruth, chosen: np.ndarray) -> GroundTruth:
    videos = [video for video, keep in zip(gt['videos'], chosen, strict=True) if keep]
    ids = {video['id'] for video in videos}
    return {**gt, 'videos': videos, 'annotations': [a for a in gt['annotations'] or [] if a['video_id'] in ids]}


def _count(gt: GroundTruth) -> dict[int, tuple[int, int]]:
    """{category id: (videos, instances)}."""
    videos: dict[int, list[int]] = {}
    for annotation in gt['annotations'] or []:
        videos.setdefault(annotation['category_id'], []).append(annotation['video_id'])
    return {category: (len(set(ids)), len(ids)) for category, ids in videos.items()}
