"""Cases of reference numbers: found on disk, read, and compared array by array."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from maskprop.conversion.golden_arrays import Arrays, Compared, GoldenError
from maskprop.conversion.goldens import load_method


class CaseFiles(NamedTuple):
    """The files of one case; a case without weights has no ``state``."""

    case: Path
    state: Path


class Row(NamedTuple):
    """One compared array.

    Attributes:
        name, shape: of the array. difference: the largest absolute one; infinite where the shapes differ.
        close: whether it is within its tolerance.
    """

    name: str
    shape: tuple[int, ...]
    difference: float
    close: bool


class Report(NamedTuple):
    """What a case's comparison found.

    Attributes:
        rows: of the arrays that were compared. unknown: names of those that nothing is known of.
    """

    rows: list[Row]
    unknown: list[str]


def find_cases(folder: str | Path) -> list[CaseFiles]:
    """The cases in a folder: its own, those of its folders, and pairs ``case_NAME.npz, case_NAME_state.npz``.

    Raises:
        GoldenError: there is none.
    """
    folder = Path(folder)
    cases = [
        CaseFiles(path, path.with_name('state.npz')) for path in (folder / 'case.npz', *folder.glob('*/case.npz'))
    ]
    pairs = (path for path in folder.glob('case_*.npz') if not path.stem.endswith('_state'))
    cases += [CaseFiles(path, path.with_name(f'{path.stem}_state.npz')) for path in pairs]
    cases = sorted(files for files in cases if files.case.is_file())
    if not cases:
        raise GoldenError(
            f'{folder}: expected case.npz, folders that have one, or case_NAME.npz; found none of them'
        )
    return cases


def read_arrays(path: Path, description: str) -> Arrays:
    """The arrays of an ``.npz`` file; ``description``: what the file should be, for errors."""
    try:
        with np.load(path, allow_pickle=False) as archive:
            arrays = {name: torch.from_numpy(archive[name]) for name in archive.files}
    except (OSError, ValueError, TypeError, EOFError, AttributeError, zipfile.BadZipFile) as error:
        raise GoldenError(f'{path}: expected an .npz archive of numeric arrays: {error}') from None
    return Arrays(arrays, f'{path}: expected {description}, and the array {{!r}} is missing')


def verify(method: str, files: CaseFiles) -> Report:
    """Compute a case anew and compare.

    Args:
        method: of :func:`~maskprop.conversion.goldens.methods`.

    Raises:
        GoldenError: a file or an array is missing, or case and weights do not fit.
    """
    module = load_method(method)
    case = read_arrays(files.case, f'a case of {method} goldens')
    state = read_arrays(files.state, f'weights of {method} goldens') if files.state.is_file() else Arrays({}, '')
    try:
        compared = module.compare(case, state)
    except GoldenError:
        raise
    except RuntimeError as error:
        if not state:
            raise GoldenError(f'{files.case}: its weights are missing, expected {files.state}') from None
        raise GoldenError(f'{files.case} and its weights {files.state} do not fit: {error}') from None
    rows = [compare_array(name, pair) for name, pair in compared.items()]
    unknown = sorted(name for name in case if name not in compared and not module.INPUTS.fullmatch(name))
    return Report(rows, unknown)


def compare_array(name: str, compared: Compared) -> Row:
    """Ours against the reference's, entry by entry; NaN is never close."""
    ours, reference = compared.ours, compared.reference
    shape = tuple(reference.shape)
    if ours.shape != reference.shape:
        return Row(name, shape, float('inf'), False)
    ours, reference = ours.double(), reference.double()
    difference = torch.where(ours == reference, 0.0, (ours - reference).abs())  # equal infinities differ by 0
    close = difference <= compared.atol + compared.rtol * reference.abs()
    if compared.undecided is not None:
        close |= compared.undecided
        difference = difference.masked_fill(compared.undecided, 0)
    return Row(name, shape, float(difference.max()) if difference.numel() else 0.0, bool(close.all()))


def as_table(report: Report) -> str:
    """The report for people: a line an array, and what was not compared."""
    lines = [
        f'  {row.name:26s} {row.shape!s:20s} {row.difference:.1e}{"" if row.close else "   DIFFERS"}'
        for row in report.rows
    ]
    if report.unknown:
        lines.append(f'  not compared, unknown: {", ".join(report.unknown)}')
    return '\n'.join(lines)
