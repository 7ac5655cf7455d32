"""Losses, rates and AP of trainings over their iterations, several runs in one picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from maskprop.analysis.figures import draw_grid, plain, save
from maskprop.analysis.report import PAGE, Report, percent, write_csv
from maskprop.analysis.scalars import RunScalars, Series, read_run
from maskprop.evaluation.validation import EvalInputError
from maskprop.utils.files import fill_when_done

OTHERS = ('acc', 'grad_norm', 'time', 'data_time', 'memory')
SHOWN_AP = ('AP', 'AP50', 'AP75', 'AR10')


def report_curves(runs: Sequence[str | Path], out: str | Path, names: Sequence[str] | None = None) -> Path:
    """Write losses.png, rates.png, validation.png (if there was any), scalars.csv and report.html.

    Args:
        runs: work folders of trainings, or their scalars.json. out: folder of the files.
        names: of the runs in the pictures; default: those of their folders.

    Returns:
        the report.

    Raises:
        EvalInputError: a run has no scalars, or two have the same name.
    """
    names = list(names or _names(runs))
    if len(names) != len(runs) or len(set(names)) < len(names):
        raise EvalInputError(f'--names {" ".join(names)}: expected {len(runs)} different names, one for each run')
    scalars = {name: read_run(run) for name, run in zip(names, runs, strict=True)}
    with fill_when_done(out) as unfinished:
        _write(scalars, names, unfinished)
    return Path(out, PAGE)


def _write(scalars: dict[str, RunScalars], names: list[str], out: Path) -> None:
    write_csv(out / 'scalars.csv', ['run', 'split', 'name', 'iteration', 'value'], _rows(scalars))
    report = Report(f'Training of {", ".join(names)}')
    report.table(['run', 'iterations', 'last loss', 'smallest loss', 'best AP', 'at iteration'], _summary(scalars))
    train = {name: run.train for name, run in scalars.items()}
    losses = _united([run.loss_names() for run in scalars.values()])
    others = _united([run.train for run in scalars.values()])
    rates = [name for name in others if name == 'lr' or name in OTHERS]
    validation = {name: run.validation for name, run in scalars.items()}
    metrics = _metrics(validation)
    for title, chosen, curves, file in (
        ('Losses', losses, train, 'losses.png'),
        ('Learning rate, gradients, time', rates, train, 'rates.png'),
        ('Validation (%)', metrics, validation, 'validation.png'),
    ):
        if chosen:
            report.heading(title)
            report.picture(save(_draw(chosen, curves), out / file), f'{title} over iterations')
    if not metrics:
        report.text('There was no validation with video AP in what was logged.')
    report.text(
        'Losses are means over the logger window. A validation is put at the last iteration logged before it. '
        'All numbers are in scalars.csv.'
    )
    report.write(out / PAGE)


def _names(runs: Sequence[str | Path]) -> list[str]:
    """The last part of each path that tells the runs apart."""
    paths = [Path(run).resolve() for run in runs]
    for depth in range(1, max(len(path.parts) for path in paths) + 1):
        names = ['/'.join(path.parts[-depth:]) for path in paths]
        if len(set(names)) == len(names):
            break
    return names


def _united(lists: Sequence[Sequence[str] | Mapping[str, Any]]) -> list[str]:
    return list(dict.fromkeys(name for names in lists for name in names))


def _metrics(validation: Mapping[str, Mapping[str, Series]]) -> list[str]:
    """Names of video AP that have been measured, also with a prefix."""
    logged = _united(list(validation.values()))
    known = [name for name in logged if name.rpartition('/')[2] in SHOWN_AP]
    return [name for name in known if any(max(of[name].values) >= 0 for of in validation.values() if name in of)]


def _draw(names: Sequence[str], runs: Mapping[str, Mapping[str, Series]]) -> Any:
    def draw(axes: Any, name: str) -> None:
        scale = 100 if name.rpartition('/')[2] in SHOWN_AP else 1
        for place, (run, curves) in enumerate(runs.items()):
            if name in curves:
                series = curves[name]
                values = np.array(series.values) * scale
                style = '.-' if len(values) < 30 else '-'
                axes.plot(
                    series.iterations, values, style, color=f'C{place % 10}', label=plain(run), linewidth=1.2
                )
        if len(runs) > 1 and name == names[0]:
            axes.legend(fontsize=8)

    return draw_grid(names, draw, 'iteration')


def _rows(scalars: Mapping[str, RunScalars]) -> list[list[object]]:
    return [
        [run, split, name, iteration, value]
        for run, of_run in scalars.items()
        for split, series in (('train', of_run.train), ('val', of_run.validation))
        for name, curve in series.items()
        for iteration, value in zip(curve.iterations, curve.values, strict=True)
    ]


def _summary(scalars: Mapping[str, RunScalars]) -> list[list[object]]:
    rows = []
    for name, run in scalars.items():
        last = max(series.iterations[-1] for series in run.train.values())
        loss = [value for value in run.train.get('loss', Series()).values if value == value]
        ap = next((series for key, series in run.validation.items() if key.rpartition('/')[2] == 'AP'), Series())
        best = int(np.argmax(ap.values)) if ap.values else None
        rows.append(
            [
                name,
                last,
                f'{loss[-1]:.3f}' if loss else '-',
                f'{min(loss):.3f}' if loss else '-',
                '-' if best is None else percent(ap.values[best]),
                '-' if best is None else ap.iterations[best],
            ]
        )
    return rows
