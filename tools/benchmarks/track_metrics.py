"""HOTA, CLEAR and identity metrics against TrackEval, on the two random sets of the video AP benchmark.

    python tools/benchmarks/track_metrics.py [--sets validation dense] [--runs 1] [--json OUT] [--doc PAGE]

TrackEval (``pip install --no-deps trackeval==1.3.0``) runs as it is, by its own data set class for YouTube-VIS and
its Evaluator in one process, which prints and plots nothing here. Both sides read the same two files, all
predictions take part, and every number of every class and of all must agree to 1e-9. Two stages are timed:
loading, which is reading the files and on our side also checking and decoding; and evaluating, which on both sides
begins with the IoUs of masks. Our evaluation of video AP is timed beside them.
"""

from __future__ import annotations

import contextlib
import gc
import io
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import common
import numpy as np
from video_ap import SETS, WARM_UP, count
from video_sets import SetShape, make_set

from maskprop.evaluation import GroundTruth, TrackResult
from maskprop.evaluation.detections import read_detections
from maskprop.evaluation.matching import match_all
from maskprop.evaluation.rle import decode_counts
from maskprop.evaluation.track_metrics import KINDS, measure_tracks
from maskprop.evaluation.validation import load_json
from maskprop.utils.files import write_json

try:
    with contextlib.redirect_stdout(io.StringIO()):  # it prints which of its data sets lack a library
        import trackeval
except ImportError as error:
    raise SystemExit(f'{error}: pip install --no-deps trackeval==1.3.0') from None

TOLERANCE = 1e-9
#: Our names that are not TrackEval's.
NAMES = dict(MOTSA='MOTA', sMOTSA='sMOTA', MOTSP='MOTP', TP='CLR_TP', FP='CLR_FP', FN='CLR_FN')
FIELDS = dict(hota='HOTA', clear='CLEAR', identity='Identity')
SPLIT, TRACKER = 'val', 'results'
QUIET = dict(
    PRINT_RESULTS=False,
    PRINT_CONFIG=False,
    TIME_PROGRESS=False,
    OUTPUT_SUMMARY=False,
    OUTPUT_DETAILED=False,
    PLOT_CURVES=False,
    LOG_ON_ERROR=None,
)
FIGURES = {'evaluation': ('evaluate',), 'from files': ('load', 'evaluate')}


class TrackEval:
    """TrackEval's stages. Its reader finds the files by their folders."""

    def __init__(self, folder: Path) -> None:
        self.folders = dict(GT_FOLDER=f'{folder}/gt/', TRACKERS_FOLDER=f'{folder}/trackers/')

    @staticmethod
    def files(folder: Path) -> tuple[Path, Path]:
        """Where it looks for ground truth and results."""
        name = f'youtube_vis_{SPLIT}'
        return folder / 'gt' / name / 'gt.json', folder / 'trackers' / name / TRACKER / 'data' / 'results.json'

    def load(self) -> None:
        config = dict(self.folders, SPLIT_TO_EVAL=SPLIT, PRINT_CONFIG=False)
        self.data = trackeval.datasets.YouTubeVIS(config)

    def evaluate(self) -> None:
        config = dict(PRINT_CONFIG=False)
        metrics = [trackeval.metrics.HOTA(), trackeval.metrics.CLEAR(config), trackeval.metrics.Identity(config)]
        with contextlib.redirect_stdout(io.StringIO()):
            found = trackeval.Evaluator(QUIET).evaluate([self.data], metrics)[0]
        self.found = found['YouTubeVIS'][TRACKER]['COMBINED_SEQ']


class MaskProp:
    """This project's stages, those of ``evaluate_tracks``."""

    def __init__(self, folder: Path) -> None:
        self.files = TrackEval.files(folder)

    def load(self) -> None:
        self.truth = GroundTruth.from_dict(load_json(self.files[0]))
        self.detections = read_detections(self.truth, load_json(self.files[1]))

    def evaluate(self) -> None:
        self.found = measure_tracks(self.truth, self.detections, tuple(KINDS), min_score=0.0)

    def video_ap(self) -> None:
        match_all(self.truth, self.detections)


SIDES: dict[str, Callable] = dict(trackeval=TrackEval, maskprop=MaskProp)


def measure(shape: SetShape, runs: int, size: tuple[int, int] = (720, 1280)) -> dict[str, Any]:
    """One set's row: its counts, the largest difference, and by figure seconds of both sides and their ratios.

    Raises:
        BenchmarkError: the two sides' numbers differ.
    """
    with tempfile.TemporaryDirectory() as folder:
        truth, results = make_set(shape, size=size)
        row: dict[str, Any] = count(truth, results)
        _as_published(truth)
        for file, content in zip(TrackEval.files(Path(folder)), (truth, results), strict=True):
            write_json(file, content)
        sides = {name: side(Path(folder)) for name, side in SIDES.items()}
        forms = {
            (name, stage): getattr(side, stage) for name, side in sides.items() for stage in ('load', 'evaluate')
        }
        forms['maskprop', 'video_ap'] = sides['maskprop'].video_ap
        seconds = common.in_turns(forms, runs, warm_up=False)
    row['difference'] = largest_difference(sides['trackeval'].found, sides['maskprop'].found)
    if not row['difference'] <= TOLERANCE:
        raise common.BenchmarkError(f'the numbers differ by up to {row["difference"]:.3g}')
    row['HOTA'] = sides['maskprop'].found.overall('hota')['HOTA']
    row['video_ap'] = seconds['maskprop', 'video_ap']
    for figure, stages in FIGURES.items():
        times = {name: [sum(t) for t in zip(*(seconds[name, s] for s in stages), strict=True)] for name in SIDES}
        row[figure] = dict(times, ratios=common.ratios(times['trackeval'], times['maskprop']))
    return row


def _as_published(truth: dict) -> None:
    """Runs as lists, and in every annotation the sizes, which TrackEval reads: as in the published files."""
    sizes = {video['id']: (video['height'], video['width']) for video in truth['videos']}
    for record in truth['annotations']:
        record['height'], record['width'] = sizes[record['video_id']]
        for mask in record['segmentations']:
            if mask:
                mask['counts'] = decode_counts(mask['counts']).tolist()


def largest_difference(theirs: dict[str, dict], ours: TrackResult) -> float:
    """Over all numbers of all classes with ground truth, of all together, and the means of the classes."""
    found = []
    for kind in KINDS:
        field = FIELDS[kind]
        rows = {ours.category_names[category]: row for category, row in ours.per_category(kind).items()}
        pairs = [(row, theirs[name][field]) for name, row in rows.items()]
        pairs.append((ours.overall(kind), theirs['cls_comb_det_av'][field]))
        found += [
            abs(value - float(np.mean(wanted[NAMES.get(name, name)])))
            for row, wanted in pairs
            for name, value in row.items()
        ]
    return max(found)


def lines_of(rows: dict[str, dict]) -> list[str]:
    """The tables."""
    keys = ('videos', 'frames', 'tracks', 'predictions', 'masks')
    counts = [
        [name, *(f'{row[key]:,}' for key in keys), f'{row["difference"]:.1e}', common.spread(row['video_ap'])]
        for name, row in rows.items()
    ]
    head = ['set', 'videos', 'frames', 'tracks', 'predictions', 'predicted masks']
    lines = common.table([*head, 'largest difference', 'video AP, s'], counts)
    times = [
        [name, figure, *(common.spread(row[figure][key]) for key in ('trackeval', 'maskprop', 'ratios'))]
        for name, row in rows.items()
        for figure in FIGURES
    ]
    return [*lines, '', *common.table(['set', 'timed', 'TrackEval, s', 'maskprop, s', 'ratio'], times)]


def main() -> None:
    parser = common.parser(__doc__, runs=1)
    parser.add_argument('--sets', nargs='+', choices=SETS, default=list(SETS), help='default: all')
    args = parser.parse_args()
    common.start(args)
    measure(WARM_UP, 1)
    rows: dict[str, Any] = {}
    for name in args.sets:
        rows[name] = measure(SETS[name], args.runs)
        gc.collect()
    common.finish(args, rows, [*lines_of(rows), '', f'TrackEval {trackeval.__version__}.'])


if __name__ == '__main__':
    main()
