"""A study's table: mean and spread over the seeds, the paper's numbers beside them."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import dataclass, field, fields
from statistics import fmean, stdev
from typing import Any

import numpy as np

from maskprop.ablation.costs import RowCost, measure_costs
from maskprop.ablation.jobs import LEVELS, Job
from maskprop.ablation.study import METRICS, Row, slug
from maskprop.ablation.timings import format_seconds
from maskprop.evaluation import Scores, load_ground_truth, paired_bootstrap, read_results, score_results
from maskprop.evaluation.scoring import video_ap_of
from maskprop.utils.files import replace_when_done

# of the temporal stability: heading, factor, decimals
STABILITY = dict(
    frame_recall=('frame recall', 100, 1),
    missed_share=('missed frames', 100, 1),
    smoothness=('smoothness', 100, 1),
    id_switches=('id switches', 1, 0),
)


@dataclass
class RowScores:
    """What was measured of a row.

    Attributes:
        row: of the study.
        metrics: {metric: its value in 0..1 by seed}.
        gain: AP minus that of the study's first row, mean over the seeds; None of the first row itself.
        interval: of the gain, 95 %.
        share_positive: of the resamples, in which the gain is above 0.
        stability: {number of the temporal stability: its value by seed, None where nothing is to count}; empty if
            the study doesn't ask for it.
        cost: what it costs; None where the study doesn't ask for it.
    """

    row: Row
    metrics: dict[str, list[float]]
    gain: float | None = None
    interval: tuple[float, float] | None = None
    share_positive: float | None = None
    stability: dict[str, list[float | None]] = field(default_factory=dict)
    cost: RowCost | None = None


def score_study(job: Job) -> list[RowScores]:
    """Score the results of a table's tests, rows in the study's order."""
    study = job.details['study']
    results: dict[str, list[Scores]] = {row.name: [] for row in study.rows}
    gains: dict[str, list[tuple[float, np.ndarray]]] = {row.name: [] for row in study.rows}
    first = study.rows[0].name
    for seed in study.seeds:
        tests = {
            name: test
            for test in job.details['tests']
            if test.details['seed'] == seed
            for name in test.details['rows']
        }
        cfg = tests[first].details['cfg']
        frame_range = cfg.test_dataloader.dataset.get('frame_range', (0.0, 1.0))
        truth = load_ground_truth(cfg.test_evaluator.ann_file, study.frame_stride, frame_range)
        for row in study.rows:
            found = read_results(tests[row.name].folder / f'{slug(row.name)}.json')
            metrics = ('video_ap', 'stability') if study.stability else ('video_ap',)
            scores = score_results(truth, found, metrics=metrics, results_name=row.name, allow_empty=True)
            results[row.name].append(scores)
            if row.name != first and study.bootstraps:
                # with the config's own data the videos of all seeds are the same, and so are the resamples
                draw = study.seeds[0] if study.synthetic is None else seed
                one, other = video_ap_of(scores), video_ap_of(results[first][-1])
                paired = paired_bootstrap(truth, one, other, study.bootstraps, draw)
                gains[row.name].append((paired.observed, paired.differences))
    rows = [_row_scores(row, results[row.name], gains[row.name]) for row in study.rows]
    if study.costs:
        costs = measure_costs([test for test in job.details['tests'] if test.details['seed'] == study.seeds[0]])
        for row in rows:
            row.cost = costs[row.row.name]
    return rows


def _row_scores(row: Row, results: list[Scores], gains: list[tuple[float, np.ndarray]]) -> RowScores:
    scores = RowScores(row, {metric: [video_ap_of(result)[metric] for result in results] for metric in METRICS})
    numbers = [result.stability.to_dict() for result in results if result.stability is not None]
    if numbers:
        scores.stability = {key: [of_seed[key] for of_seed in numbers] for key in STABILITY}
    if gains:
        # videos are resampled in the set of each seed; a resample of all sets has the mean of their gains
        differences = np.mean([resamples for _, resamples in gains], axis=0)
        scores.gain = fmean(observed for observed, _ in gains)
        low, high = np.percentile(differences, [2.5, 97.5])
        scores.interval = (float(low), float(high))
        scores.share_positive = float((differences > 0).mean())
    return scores


def mean_and_spread(values: list[float]) -> tuple[float, float | None]:
    """Mean and standard deviation (of a sample; None of one value), in percent."""
    return 100 * fmean(values), 100 * stdev(values) if len(values) > 1 else None


def write_tables(job: Job, scores: list[RowScores]) -> None:
    """Write table.md and table.csv, each whole or not at all."""
    for name, text in (('table.csv', format_csv(job, scores)), ('table.md', format_table(job, scores))):
        with replace_when_done(job.folder / name) as temporary:
            temporary.write_text(text, encoding='utf-8')


def format_table(job: Job, scores: list[RowScores]) -> str:
    """The Markdown page of a study."""
    study = job.details['study']
    papers = [m for m in METRICS if any(m in s.row.paper for s in scores)]
    header = ['', *METRICS, *(f'paper {m}' for m in papers)]
    gains = any(s.gain is not None for s in scores)
    header += [f'AP minus {study.rows[0].name} (95 %)'] * gains
    lines = [f'# {study.title}', '', '| ' + ' | '.join(header) + ' |', '|---' * len(header) + '|']
    for row in scores:
        cells = [row.row.name, *(_cell(row.metrics[metric]) for metric in METRICS)]
        cells += [f'{row.row.paper[m]:.1f}' if m in row.row.paper else '' for m in papers]
        cells += [_gain(row)] * gains
        lines.append('| ' + ' | '.join(cells) + ' |')
    lines += ['', *_second_table(scores), *_notes(job)]
    return '\n'.join(lines) + '\n'


def _second_table(scores: list[RowScores]) -> list[str]:
    """Lines of the table of temporal stability and costs; none where the study asks for neither."""
    header = [heading for heading, _, _ in STABILITY.values()] if scores[0].stability else []
    header += ['frames per second', 'parameters'] if scores[0].cost else []
    if not header:
        return []
    lines = ['| ' + ' | '.join(['', *header]) + ' |', '|---' * (len(header) + 1) + '|']
    for row in scores:
        cells = [row.row.name]
        for key, values in row.stability.items():
            _, factor, decimals = STABILITY[key]
            known = [factor / 100 * value for value in values if value is not None]
            cells.append(_cell(known, decimals) if known else '-')
        if row.cost:
            cells += [f'{row.cost.frames_a_second:.1f}', f'{row.cost.parameters:,}']
        lines.append('| ' + ' | '.join(cells) + ' |')
    return [*lines, '']


def _cell(values: list[float], decimals: int = 1) -> str:
    mean, spread = mean_and_spread(values)
    return f'{mean:.{decimals}f}' if spread is None else f'{mean:.{decimals}f} ± {spread:.{decimals}f}'


def _gain(row: RowScores) -> str:
    if row.gain is None or row.interval is None:
        return ''
    low, high = (100 * value for value in row.interval)
    return f'{100 * row.gain:+.1f} ({low:+.1f} to {high:+.1f})'


def _notes(job: Job) -> list[str]:
    study = job.details['study']
    seeds = ', '.join(str(seed) for seed in study.seeds)
    spread = ', mean ± standard deviation' if len(study.seeds) > 1 else ''
    notes = [f'Video AP in percent{spread}; seeds {seeds}; frame stride {study.frame_stride}.']
    if study.bootstraps and len(study.rows) > 1:
        notes[0] += f' Differences: paired bootstrap over the videos of all seeds, {study.bootstraps} resamples. '
        notes[0] += 'The interval is over videos; it leaves out the variance between trainings.'
    if study.paper:
        notes.append(f"The paper's numbers: {study.paper}.")
    if study.costs:
        notes.append(
            'Frames per second: from image files to results, on the first videos of a seed; rows take turns in '
            'one process of one thread, median of the rounds.'
        )
    if study.note:
        notes.append(study.note)
    times = ', '.join(f'{level} {format_seconds(seconds)}' for level, seconds in level_seconds(job).items())
    notes.append(f'Work of the jobs, one after the other, without the start of their processes: {times}.')
    notes.append(f'Made by `maskprop ablate {study.file}`.')
    return [line for note in notes for line in (note, '')][:-1]


def level_seconds(table: Job) -> dict[str, float]:
    """Seconds of all jobs that a table rests on, by level."""
    jobs, queue = {}, list(table.needs)
    while queue:
        job = queue.pop()
        if job.folder not in jobs:
            jobs[job.folder] = job
            queue += job.needs
    seconds: dict[str, float] = {}
    for level in LEVELS:
        of_level = [job.record().get('seconds', 0.0) for job in jobs.values() if job.level == level]
        if of_level:
            seconds[level] = sum(of_level)
    return seconds


def format_csv(job: Job, scores: list[RowScores]) -> str:
    """Every row and seed, in 0..1, and what they were trained and tested with."""
    study = job.details['study']
    out = io.StringIO()
    writer = csv.writer(out, lineterminator='\n')
    of_stability = list(scores[0].stability)
    of_cost = [f.name for f in fields(RowCost)] if scores[0].cost else []
    writer.writerow(
        ['study', 'row', 'x', 'seed', *METRICS, *(f'paper_{m}' for m in METRICS), *of_stability, *of_cost]
        + ['variant', 'options']
    )
    for scored in scores:
        row = scored.row
        paper = [row.paper[m] / 100 if m in row.paper else '' for m in METRICS]
        keys = [
            json.dumps(part, default=str)
            for part in (row.variant, {**(row.train.options if row.train else {}), **row.options})
        ]
        for index, seed in enumerate(study.seeds):
            values: list[Any] = [scored.metrics[m][index] for m in METRICS]
            values += paper + [scored.stability[key][index] for key in of_stability]
            values += [getattr(scored.cost, key) for key in of_cost]
            writer.writerow([study.name, row.name, '' if row.x is None else row.x, seed, *values, *keys])
    return out.getvalue()
