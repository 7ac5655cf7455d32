"""A results file looked into: which videos fail, which classes, and why; files and a report."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from maskprop.analysis.counts import (
    MISSED,
    NOTHING,
    confuse_classes,
    tally_classes,
    tally_video,
    video_aps,
    worst_videos,
)
from maskprop.analysis.errors import KINDS, MEANING, ErrorSummary, VideoErrors, find_errors, summarize_errors
from maskprop.analysis.figures import MOST_CLASSES, draw_bars, draw_confusion, draw_grid, save
from maskprop.analysis.report import PAGE, Report, percent, write_csv
from maskprop.analysis.video_matches import VideoMatches, match_videos
from maskprop.evaluation.detections import VideoDetections, read_detections
from maskprop.evaluation.ground_truth import GroundTruth, load_annotations, parse_ground_truth
from maskprop.evaluation.matching import match_all
from maskprop.evaluation.results_io import read_results
from maskprop.evaluation.stability import StabilityResult, measure_stability
from maskprop.evaluation.validation import fail
from maskprop.evaluation.video_ap import METRIC_NAMES, RECALL_THRESHOLDS, VideoAPResult, summarize
from maskprop.utils.files import fill_when_done

PR_IOUS = (0.5, 0.75)
SHORT = ('cls', 'loc', 'both', 'dup', 'bkg', 'id', 'miss')  # headers of ``KINDS``


@dataclass(frozen=True)
class AnalysisOptions:
    """What the analyses of results share.

    Attributes:
        images: folder of the set's frames; None: no strips.
        worst: videos to show. min_score: of the tracks that are counted as true, false and missed, and drawn.
        frame_stride, frame_range: the frames that the results are of.
    """

    images: str | Path | None = None
    worst: int = 5
    min_score: float = 0.3
    frame_stride: int = 1
    frame_range: tuple[float, float] = (0.0, 1.0)


DEFAULTS = AnalysisOptions()


@dataclass
class Analysis:
    """Everything that is known of one results file; ``names``: {video id: folder of its frames}."""

    truth: GroundTruth
    names: dict[int, str]
    video_ap: VideoAPResult
    stability: StabilityResult
    detections: list[VideoDetections]
    matches: list[VideoMatches]
    errors: list[VideoErrors]
    summary: ErrorSummary
    video_aps: dict[int, tuple[float, float]]


def load_set(path: str | Path, options: AnalysisOptions) -> tuple[GroundTruth, dict[int, str]]:
    """An annotation file, and the folder of each video's frames.

    Raises:
        EvalInputError: it cannot be evaluated, as without annotations; its frames are not in ``options.images``.
    """
    data = load_annotations(path)
    truth = parse_ground_truth(data, str(path), options.frame_stride, options.frame_range)
    firsts = {v['id']: str((v.get('file_names') or [''])[0]).replace('\\', '/') for v in data['videos']}
    if options.images:
        image = Path(options.images, next(iter(firsts.values())))
        if not image.is_file():
            fail(str(image), '', '', 'no such image', f'Give the folder that file_names of {path} start from')
    return truth, {number: Path(name).parent.name for number, name in firsts.items()}


def analyse(set_file: str | Path, results: str | Path, options: AnalysisOptions) -> Analysis:
    """Score a results file and find its errors; masks are decoded and matched once.

    Raises:
        EvalInputError: either cannot be evaluated, or the results are of another set, or empty.
    """
    truth, names = load_set(set_file, options)
    detections = read_detections(truth, read_results(results), str(results), drop_unknown=False, keep_all=True)
    result = summarize(truth, match_all(truth, detections))
    stability = measure_stability(truth, detections, min_score=options.min_score)
    matches = match_videos(truth, detections)
    errors = find_errors(truth, detections, matches)
    aps = {index: video_aps(result, index) for index in range(len(truth.videos))}
    summary = summarize_errors(truth, errors)
    return Analysis(truth, names, result, stability, detections, matches, errors, summary, aps)


def report_results(
    set_file: str | Path, results: str | Path, out: str | Path, options: AnalysisOptions = DEFAULTS
) -> tuple[Path, Analysis]:
    """Write the tables (CSV), the pictures (PNG) and report.html.

    Args:
        set_file: annotation file in YouTube-VIS format. results: of ``maskprop test --out``, or a submission zip.
        out: folder of the files.

    Returns:
        the report, and what it shows.

    Raises:
        EvalInputError: see :func:`analyse`.
    """
    found = analyse(set_file, results, options)
    report = Report(f'Results of {Path(results).name} on {Path(set_file).name}')
    _add_numbers(report, found)
    with fill_when_done(out) as unfinished:
        _add_errors(report, found, unfinished)
        _add_classes(report, found, unfinished, options)
        _add_curves(report, found, unfinished)
        _add_videos(report, found, unfinished, options, set_file, results)
        report.write(unfinished / PAGE)
    return Path(out, PAGE), found


def _add_numbers(report: Report, found: Analysis) -> None:
    report.heading('Numbers')
    report.table(METRIC_NAMES, [[percent(found.video_ap[name]) for name in METRIC_NAMES]])
    stability = found.stability
    report.table(
        ['tracks', 'track recall', 'frame recall', 'missed frames', 'id switches', 'switches per track'],
        [
            [
                len(stability.tracks),
                percent(stability.track_recall),
                percent(stability.frame_recall),
                percent(stability.missed_share),
                stability.id_switches,
                '-' if stability.id_switches_per_track is None else f'{stability.id_switches_per_track:.2f}',
            ]
        ],
    )
    report.text(
        'Video AP in percent; below it, temporal stability of the results that score '
        f'{stability.min_score:g} or more (docs/stability.md).'
    )


def _add_errors(report: Report, found: Analysis, out: Path) -> None:
    summary = found.summary
    rows = [(kind, summary.counts[kind], summary.gains[kind]) for kind in KINDS]
    write_csv(out / 'errors.csv', ['kind', 'count', 'AP50_gain'], rows)
    report.heading('Errors by kind')
    report.table(
        ['kind', 'count', 'AP50 would gain', 'what it is'],
        [[kind, count, percent(gain, sign=True), MEANING[kind]] for kind, count, gain in rows],
    )
    figure = draw_bars(summary.gains, f'AP50 (now {percent(summary.ap50)}) would gain, in percent')
    report.picture(save(figure, out / 'errors.png'), 'What AP50 would gain without the errors of each kind')
    split = sum(len(video.splits) for video in found.errors)
    report.text(
        'Counted are all results that video AP counts, of any score. Gains are each on its own: they do not add '
        f'up. {split} ground-truth tracks were found in pieces.'
    )


def _add_classes(report: Report, found: Analysis, out: Path, options: AnalysisOptions) -> None:
    tallies = tally_classes(found.matches, options.min_score)
    nothing = dict.fromkeys(KINDS, 0)
    rows: list[list[Any]] = [
        [
            found.truth.categories[category],
            category,
            tally.truths,
            tally.true,
            tally.false,
            tally.missed,
            found.video_ap.per_category[category],
            *found.summary.by_category.get(category, nothing).values(),
        ]
        for category, tally in tallies.items()
    ]
    header = ['class', 'id', 'tracks', 'true', 'false', 'missed', 'AP']
    write_csv(out / 'classes.csv', [*header, *(f'errors_{kind}' for kind in KINDS)], rows)
    report.heading('Classes')
    report.table([*header, *SHORT], [[*row[:6], percent(row[6]), *row[7:]] for row in rows])
    report.text(
        f'True and false: tracks of score {options.min_score:g} and more that are, or are not, a ground truth of '
        f'their class at video IoU .5. Right of AP: errors by kind ({", ".join(KINDS)}), of any score.'
    )
    names, table = confuse_classes(found.truth, found.detections, found.matches, options.min_score)
    write_csv(
        out / 'confusion.csv',
        ['ground truth', *names, MISSED],
        [[name, *row] for name, row in zip([*names, NOTHING], table.tolist(), strict=True)],
    )
    names, table = _largest(names, table)
    figure = draw_confusion(names, table, (NOTHING, MISSED))
    report.picture(
        save(figure, out / 'confusion.png'),
        f'Which class is taken for which at video IoU .5, tracks of score {options.min_score:g} and more; shaded '
        'by the share of the row',
    )


def _largest(names: list[str], table: np.ndarray) -> tuple[list[str], np.ndarray]:
    """The ``MOST_CLASSES`` classes of most tracks."""
    order = np.argsort(-(table[:-1].sum(axis=1) + table[:, :-1].sum(axis=0)), kind='stable')[:MOST_CLASSES]
    kept = np.append(np.sort(order), len(names))
    return [names[i] for i in kept[:-1]], table[np.ix_(kept, kept)]


def _add_curves(report: Report, found: Analysis, out: Path) -> None:
    result = found.video_ap
    ids = list(result.category_names)
    counted = [k for k in range(len(ids)) if result.per_category[ids[k]] >= 0]
    if not counted:
        return
    most = np.argsort([-int(result.matches[k].num_gts[0].sum()) for k in counted], kind='stable')[:MOST_CLASSES]
    chosen = {'all classes': counted}
    chosen |= {result.category_names[ids[k]]: [k] for k in sorted(counted[m] for m in most)}

    def draw(axes: Any, name: str) -> None:
        for iou in PR_IOUS:
            place = round((iou - 0.5) / 0.05)
            curve = result.precision[place][:, chosen[name], 0].mean(axis=1)
            axes.plot(RECALL_THRESHOLDS, curve, label=f'IoU {iou:g}: AP {percent(curve.mean())}')
        axes.set_xlim(0, 1)
        axes.set_ylim(0, 1.05)
        axes.legend(fontsize=7, loc='lower left')

    report.heading('Precision over recall')
    figure = draw_grid(list(chosen), draw, 'recall', columns=4)
    report.picture(save(figure, out / 'precision_recall.png'), 'Precision over recall at video IoU .5 and .75')


def _add_videos(
    report: Report, found: Analysis, out: Path, options: AnalysisOptions, set_file: str | Path, results: str | Path
) -> None:
    order = sorted(found.video_aps, key=lambda index: (found.video_aps[index][0] < 0, found.video_aps[index]))
    rows = [_video_row(found, index, options) for index in order]  # those without ground truth last
    header = ['video', 'name', 'AP', 'AP50', 'tracks', 'true', 'false', 'missed']
    write_csv(out / 'videos.csv', [*header, *(f'errors_{kind}' for kind in KINDS)], rows)
    report.heading('Worst videos')
    report.text('By AP of the video alone. All videos are in videos.csv.')
    worst = worst_videos(found.video_aps, found.errors, options.worst)
    by_id = {row[0]: row for row in rows}
    ids = [found.truth.videos[index].id for index in worst]
    report.table([*header, *SHORT], [[*by_id[i][:2], *map(percent, by_id[i][2:4]), *by_id[i][4:]] for i in ids])
    strips = {}
    if options.images and ids:
        strips = draw_strips(set_file, {'prediction': results}, ids, out, options)
    for index, number in zip(worst, ids, strict=True):
        caption = f'Video {number} ({found.names[number]}): {_mistakes(found, index, options.min_score)}'
        if number in strips:
            report.photo(cv2.imread(str(strips[number])), caption)
        else:
            report.text(caption)


def draw_strips(
    set_file: str | Path, results: dict[str, str | Path], ids: list[int], out: Path, options: AnalysisOptions
) -> dict[int, Path]:
    """Write strips of frames with ground truth and results below each other: {video id: file}."""
    from maskprop.visualization.comparison import compare_videos  # imports torch, by mmcv

    assert options.images is not None
    paths = compare_videos(
        set_file,
        options.images,
        results,
        out,
        ids,
        show_truth=True,
        min_score=options.min_score,
        cell_width=240,
        frame_stride=options.frame_stride,
        frame_range=options.frame_range,
    )
    return dict(zip(ids, paths, strict=True))


def _video_row(found: Analysis, index: int, options: AnalysisOptions) -> list[Any]:
    video, errors = found.truth.videos[index], found.errors[index]
    tally = tally_video(errors.matches, options.min_score)
    kinds = Counter([*errors.kind, *(kind for kind in errors.truth_kind if kind == 'missed')])
    ap, ap50 = (value if value >= 0 else None for value in found.video_aps[index])
    counts = [tally.truths, tally.true, tally.false, tally.missed, *(kinds[kind] for kind in KINDS)]
    return [video.id, found.names[video.id], ap, ap50, *counts]


def _mistakes(found: Analysis, index: int, min_score: float) -> str:
    """The errors of a video in words, those of results that are drawn."""
    errors, names = found.errors[index], found.truth.categories
    matches = errors.matches
    wrong = [
        f'{names[int(matches.categories[d])]} {matches.scores[d]:.2f} ({errors.kind[d]})'
        for d in np.argsort(-matches.scores, kind='stable')
        if errors.kind[d] and matches.scores[d] >= min_score
    ]
    lost = [
        f'{names[int(category)]} ({kind if kind == "missed" else "hidden by an error of kind " + kind})'
        for category, kind in zip(matches.truth_categories, errors.truth_kind, strict=True)
        if kind
    ]
    parts = [f'{title}: {", ".join(items)}' for title, items in (('false', wrong), ('not found', lost)) if items]
    return '; '.join(parts) or 'nothing is wrong at IoU .5'
