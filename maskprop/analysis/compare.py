"""Two results files on one set: the difference of every number, with paired bootstrap over the videos."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from maskprop.analysis.counts import video_aps
from maskprop.analysis.figures import draw_intervals, save
from maskprop.analysis.report import PAGE, Report, percent, write_csv
from maskprop.analysis.results import DEFAULTS, AnalysisOptions, draw_strips, load_set
from maskprop.evaluation.bootstrap import resamples
from maskprop.evaluation.ground_truth import GroundTruth
from maskprop.evaluation.results_io import read_results
from maskprop.evaluation.scoring import METRICS, Scores, score_results, video_ap_of
from maskprop.evaluation.stability_result import StabilityResult
from maskprop.evaluation.track_metrics import KINDS, ResampledTracks
from maskprop.evaluation.validation import EvalInputError
from maskprop.evaluation.video_ap import METRIC_NAMES, VideoAPResult, summarize
from maskprop.utils.files import fill_when_done

LEVEL = 0.95
STABILITY = ('track_recall', 'frame_recall', 'missed_share', 'smoothness', 'id_switches_per_track')
#: Of these the smaller one is the better.
SMALLER_IS_BETTER = ('missed_share', 'id_switches_per_track', 'IDSW', 'FP', 'FN', 'Frag', 'ML', 'IDFP', 'IDFN')
NEITHER_IS_BETTER = ('PT',)  # partly tracked: fewer may be more lost ones
#: Numbers of masks and tracks, not rates.
COUNTS = tuple(name for kind in KINDS.values() for name in kind.COUNTS)
#: Numbers that each class has of its own, beside AP.
OF_CLASSES = dict(hota='HOTA', clear='MOTSA', identity='IDF1')
#: Rates that may be negative.
BELOW_0 = ('smoothness', 'MOTSA', 'sMOTSA')
MOST_INTERVALS = 60  # in the picture


@dataclass
class Difference:
    """One number of two sets of results.

    Attributes:
        a, b: on the set itself; nan where there is nothing to count.
        low, high: interval of b - a over resamples of the videos; nan without one.
        share_better: of the resamples, in which b is better; nan likewise.
    """

    a: float
    b: float
    low: float = np.nan
    high: float = np.nan
    share_better: float = np.nan

    @property
    def clear(self) -> bool:
        """Whether the interval leaves out 0."""
        return self.low > 0 or self.high < 0


def compare_scores(truth: GroundTruth, a: Scores, b: Scores, n: int, seed: int) -> dict[str, Difference]:
    """Every number of two sets of results: the 12 of video AP, stability, HOTA, CLEAR, identity; some by category.

    Both sides are scored on the same resamples. A number that a resample cannot give, as AP of a category without
    ground truth in it, is left out there.

    Args:
        a, b: of all ``METRICS``, with ``keep_videos``.
        n: resamples; 0 for none. seed: of their choice.
    """
    once = np.ones(len(truth.videos), dtype=np.int64)
    sides = [_Resampled(truth, a), _Resampled(truth, b)]
    first, second = (side.numbers(once) for side in sides)
    names = [name for name in first if not np.isnan([first[name], second[name]]).any()]
    found = {name: Difference(first[name], second[name]) for name in names}
    if n < 1 or len(truth.videos) < 2:
        return found
    samples = np.empty((n, len(names)))
    for row, copies in enumerate(resamples(len(truth.videos), n, seed)):
        before, after = (side.numbers(copies) for side in sides)
        samples[row] = [after[name] - before[name] for name in names]
    tail = 50 * (1 - LEVEL)
    for column, name in enumerate(names):
        values = samples[:, column][~np.isnan(samples[:, column])]
        if values.size:
            of_name = found[name]
            of_name.low, of_name.high = map(float, np.percentile(values, [tail, 100 - tail]))
            if name not in NEITHER_IS_BETTER:
                better = values < 0 if name in SMALLER_IS_BETTER else values > 0
                of_name.share_better = float(better.mean())
    return found


class _Resampled:
    """The numbers of one set of results for any choice of videos; matching is done once."""

    def __init__(self, truth: GroundTruth, scores: Scores) -> None:
        matches = video_ap_of(scores).matches
        assert scores.stability is not None and scores.tracks is not None
        counted = [(k, of) for k, of in zip(truth.categories, matches, strict=True) if of.num_gts[0].any()]
        self.truth = replace(truth, categories={k: truth.categories[k] for k, _ in counted})
        self.matches, self.stability = [of for _, of in counted], scores.stability
        self.resampled = ResampledTracks(scores.tracks)
        self.tracks = defaultdict(list)
        for track in scores.stability.tracks:
            self.tracks[truth.video_index[track.video_id]].append(track)

    def numbers(self, copies: np.ndarray) -> dict[str, float]:
        """{name: number}, nan where there is nothing to count."""
        result = summarize(self.truth, self.matches, copies=copies)
        own = self.stability
        tracks = [t for v in np.flatnonzero(copies).tolist() for t in self.tracks[v] for _ in range(copies[v])]
        stability = StabilityResult(tracks, own.min_score, own.num_predictions).to_dict()
        numbers = {name: _nan_below_0(result[name]) for name in METRIC_NAMES}
        numbers |= {name: np.nan if stability[name] is None else stability[name] for name in STABILITY}
        tracked = self.resampled.choose(copies)
        numbers |= tracked.metrics()
        names = result.category_names
        of_classes = {'AP': {category: _nan_below_0(ap) for category, ap in result.per_category.items()}}
        for kind, name in OF_CLASSES.items():
            of_classes[name] = {category: row[name] for category, row in tracked.per_category(kind).items()}
        return numbers | {
            f'{name} of {names[category]}': rows.get(category, np.nan)
            for name, rows in of_classes.items()
            for category in names
        }


def _nan_below_0(value: float) -> float:
    return value if value >= 0 else np.nan


def report_comparison(
    set_file: str | Path,
    a: str | Path,
    b: str | Path,
    out: str | Path,
    options: AnalysisOptions = DEFAULTS,
    *,
    n: int = 1000,
    seed: int = 0,
) -> tuple[Path, dict[str, Difference]]:
    """Write differences.csv, videos.csv, differences.png, strips of the videos that differ most, and report.html.

    Raises:
        EvalInputError: a file cannot be evaluated, or the two are one file.
    """
    if Path(a).resolve() == Path(b).resolve():
        raise EvalInputError(f'{a}: given twice. Name two results files.')
    truth, names = load_set(set_file, options)
    results = [read_results(path) for path in (a, b)]
    sides = [
        score_results(
            truth,
            records,
            metrics=METRICS,
            min_score=options.min_score,
            results_name=str(path),
            drop_unknown=False,
            keep_videos=True,
        )
        for records, path in zip(results, (a, b), strict=True)
    ]
    found = compare_scores(truth, sides[0], sides[1], n, seed)
    titles = _titles(a, b)
    report = Report(f'{titles[1]} against {titles[0]} on {Path(set_file).name}')
    report.text(f'A is {a}, B is {b}. Positive differences: B has the larger number.')
    with fill_when_done(out) as unfinished:
        _add_differences(report, found, unfinished, n if len(truth.videos) > 1 else 0)
        _add_videos(
            report,
            truth,
            names,
            [video_ap_of(side) for side in sides],
            unfinished,
            options,
            set_file,
            (a, b),
            titles,
        )
        report.write(unfinished / PAGE)
    return Path(out, PAGE), found


def _titles(a: str | Path, b: str | Path) -> tuple[str, str]:
    first, second = Path(a).stem, Path(b).stem
    return (first, second) if first != second else (str(a), str(b))


def _add_differences(report: Report, found: dict[str, Difference], out: Path, n: int) -> None:
    write_csv(
        out / 'differences.csv',
        ['number', 'A', 'B', 'difference', 'low', 'high', 'share_of_resamples_with_B_better'],
        [
            [name, d.a, d.b, d.b - d.a, *(None if v != v else v for v in (d.low, d.high, d.share_better))]
            for name, d in found.items()
        ],
    )
    rows = [
        [
            name,
            _shown(name, d.a),
            _shown(name, d.b),
            _shown(name, d.b - d.a, sign=True),
            '-' if d.low != d.low else f'{_shown(name, d.low, True)} to {_shown(name, d.high, True)}',
            percent(d.share_better),
            'clear' if d.clear else '',
        ]
        for name, d in found.items()
    ]
    report.heading('Every number: rates in %, counts of masks and tracks')
    report.table(['number', 'A', 'B', 'B - A', '95 % interval', 'B better in', ''], rows)
    if not n:
        report.text('One video cannot be resampled: there are no intervals.')
        return
    report.text(
        f'Intervals: {n} resamples of the videos, both sides on the same ones. "clear": the interval leaves out '
        '0; of equally good results one number in twenty is clear by chance. The intervals are over videos: '
        'another training of the same model differs too. id_switches_per_track are those of 100 tracks. '
        f'Smaller is better for {", ".join(SMALLER_IS_BETTER)}.'
    )
    shown = {
        name: (d.low, d.b - d.a, d.high) for name, d in found.items() if d.low == d.low and name not in COUNTS
    }
    shown = dict(list(shown.items())[:MOST_INTERVALS])
    if shown:
        report.picture(save(draw_intervals(shown, 'B - A (%)'), out / 'differences.png'), 'Differences, 95 %')


def _shown(name: str, value: float, sign: bool = False) -> str:
    """A number, or with ``sign`` a difference, in a table."""
    if name in COUNTS:
        return f'{value:+.0f}' if sign else f'{value:.0f}'
    return percent(value, sign=sign or name.startswith(BELOW_0))


def _add_videos(
    report: Report,
    truth: GroundTruth,
    names: dict[int, str],
    results: list[VideoAPResult],
    out: Path,
    options: AnalysisOptions,
    set_file: str | Path,
    files: tuple[str | Path, str | Path],
    titles: tuple[str, str],
) -> None:
    rows: list[list[Any]] = []
    for index, video in enumerate(truth.videos):
        first, second = (video_aps(result, index)[0] for result in results)
        if first >= 0:
            rows.append([video.id, names[video.id], first, second, second - first])
    rows.sort(key=lambda row: (-abs(row[4]), row[0]))
    write_csv(out / 'videos.csv', ['video', 'name', 'AP_A', 'AP_B', 'difference'], rows)
    worst = [row for row in rows[: options.worst] if row[4]]
    report.heading('Videos that differ most')
    if not worst:
        report.text('No video differs in AP.')
        return
    report.table(
        ['video', 'name', 'A', 'B', 'B - A'],
        [[*row[:2], *map(percent, row[2:4]), percent(row[4], sign=True)] for row in worst],
    )
    if options.images:
        strips = draw_strips(
            set_file, dict(zip(titles, files, strict=True)), [row[0] for row in worst], out, options
        )
        for row in worst:
            report.photo(
                cv2.imread(str(strips[row[0]])), f'Video {row[0]} ({row[1]}): {percent(row[4], sign=True)} AP'
            )
