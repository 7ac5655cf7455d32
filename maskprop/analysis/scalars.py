"""The scalars of a training, as mmengine's LocalVisBackend writes them: ``RUN/TIME/vis_data/scalars.json``."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from maskprop.evaluation.validation import EvalInputError, fail
from maskprop.utils.json_values import is_finite_number

_POSITIONS = ('epoch', 'iter', 'step')


@dataclass
class Series:
    """One number over a training.

    Attributes:
        iterations: after which it was logged, ascending. values: floats, nan and infinities among them.
    """

    iterations: list[int] = field(default_factory=list)
    values: list[float] = field(default_factory=list)


@dataclass
class RunScalars:
    """The numbers of one training: {name: series}, of training and of validation."""

    train: dict[str, Series]
    validation: dict[str, Series]

    def loss_names(self) -> list[str]:
        """The sum, then the others as the log has them."""
        names = [name for name in self.train if 'loss' in name]
        return sorted(names, key=lambda name: name != 'loss')


def read_run(run: str | Path) -> RunScalars:
    """Read a training's scalars.

    A training that was resumed has several files: of what both logged, the later one counts. A second training in
    the same folder so replaces the first. Files of tests, which hold no iterations, are passed over. A validation
    is put at the last iteration that was logged before it.

    Args:
        run: work folder of a training, a folder of a start in it, or a scalars.json.

    Raises:
        EvalInputError: there is no file, or none has a number of a training.
    """
    files = _find_files(Path(run))
    found = RunScalars({}, {})
    for file in files:
        train, validation = _read_file(file)
        first = min((iteration for iteration, _ in train), default=None)
        if first is None:
            continue
        for series in (*found.train.values(), *found.validation.values()):
            _cut(series, first)
        for target, lines in ((found.train, train), (found.validation, validation)):
            for iteration, numbers in lines:
                for name, value in numbers.items():
                    series = target.setdefault(name, Series())
                    series.iterations.append(iteration)
                    series.values.append(value)
    found.train = {name: series for name, series in found.train.items() if series.values}
    found.validation = {name: series for name, series in found.validation.items() if series.values}
    if not found.train:
        fail(str(files[0]), '', '', 'no number of a training', 'Is it the work folder of a test?')
    return found


def _find_files(run: Path) -> list[Path]:
    if run.is_file():
        return [run]
    if not run.is_dir():
        raise EvalInputError(f'{run}: no such folder. Give the work folder of a training, or its scalars.json.')
    files = sorted({*run.glob('*/vis_data/scalars.json'), *run.glob('vis_data/scalars.json')})
    if not files:
        fail(
            str(run),
            '',
            '',
            'no scalars.json in TIME/vis_data',
            'Give the work folder of a training that has logged (every 50 iterations by default), with '
            'LocalVisBackend among visualizer.vis_backends',
        )
    return files


def _read_file(file: Path) -> tuple[list, list]:
    """Lines of training and of validation: (iteration, {name: value})."""
    train: list[tuple[int, dict[str, float]]] = []
    validation: list[tuple[int, dict[str, float]]] = []
    for number, line in enumerate(file.read_text(encoding='utf-8', errors='replace').splitlines(), 1):
        if not line.strip():
            continue
        record = _parse(line)
        if record is None:  # a training that was killed may leave half a line
            if number == 1:
                fail(str(file), 'line 1', '', f'found {line[:60]!r}', 'Each line must be an object {"loss": ...}')
            continue
        values = {
            name: float(value)
            for name, value in record.items()
            if name not in _POSITIONS and isinstance(value, (int, float)) and not isinstance(value, bool)
        }
        if is_finite_number(record.get('iter')):
            train.append((int(record['iter']), values))
        else:
            validation.append((train[-1][0] if train else 0, values))
    return train, validation


def _parse(line: str) -> dict[str, Any] | None:
    try:
        record = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return record if isinstance(record, dict) else None


def _cut(series: Series, first: int) -> None:
    """Leave out what was logged at iteration ``first`` or later."""
    kept = sum(iteration < first for iteration in series.iterations)
    del series.iterations[kept:], series.values[kept:]
