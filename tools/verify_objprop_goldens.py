"""Compute ObjProp's reference numbers anew and compare every output array.

    python tools/verify_objprop_goldens.py DIR [--tolerance 1e-4]

DIR holds pairs case_NAME.npz (inputs and the released code's outputs) and case_NAME_state.npz (its weights). The
weights go through the checkpoint converter into this project's modules. Prints the largest difference of each
output array and exits 1 if one is beyond the tolerance, absolute plus relative, or is missing.
"""

from __future__ import annotations

import argparse
import re
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from maskprop.engine.checkpoint import CheckpointError

INDEXED = ('seq_fill_prob', 'seq_fill_mask')  # rows belong to those of NAME_index; their order has no meaning
INPUTS = re.compile(
    r'(cur|ref|seq)_p\d+|pad_shape|img_shape|num_ref_boxes|ref_boxes|num_gt|gt_.*|scale_factor|predict_boxes_orig'
    r'|predict_labels_0based|seq_det|track_(ref_)?x(_n)?|track_ids|track_id_weights|match_(det|prev)_(bboxes|labels)'
)
BACKGROUND_FIRST = 'mask_logits'  # its channel 0 is the background's, which this project doesn't have


def find_cases(folder: Path) -> dict[Path, Path]:
    """Pairs of case and weights."""
    cases = sorted(p for p in folder.glob('case_*.npz') if not p.stem.endswith('_state'))
    if not cases:
        raise SystemExit(f'{folder}: expected pairs case_NAME.npz and case_NAME_state.npz, found no case_*.npz')
    pairs = {case: case.with_name(f'{case.stem}_state.npz') for case in cases}
    for case, state in pairs.items():
        if not state.is_file():
            raise SystemExit(f'{case}: its weights are missing, expected {state}')
    return pairs


def load_arrays(path: Path) -> dict[str, Tensor]:
    try:
        with np.load(path, allow_pickle=False) as archive:
            return {name: torch.from_numpy(archive[name]) for name in archive.files}
    except (OSError, ValueError, TypeError, EOFError) as error:
        raise SystemExit(f'{path}: expected an .npz archive of numeric arrays: {error}') from None


def recompute(case: dict[str, Tensor], state: dict[str, Tensor]) -> dict[str, Tensor]:
    from maskprop.conversion import objprop_goldens

    found: dict[str, Tensor] = {}
    for part in ('attention', 'prediction', 'fills', 'tracking'):
        found.update(getattr(objprop_goldens, f'recompute_{part}')(case, state))
    return found


def in_order(arrays: dict[str, Tensor]) -> dict[str, Tensor]:
    """The arrays of the fill sequence with rows in the order of frame and object id."""
    ordered = dict(arrays)
    keys = {name: f'{name}_index' for name in INDEXED} | {f'{name}_index': f'{name}_index' for name in INDEXED}
    for name, key in (keys | dict(seq_out='seq_out')).items():
        if name in arrays and key in arrays and arrays[key].numel():
            rows = arrays[key][:, :2].tolist()
            ordered[name] = arrays[name][sorted(range(len(rows)), key=rows.__getitem__)]
    return ordered


def compare(expected: Tensor, found: Tensor, tolerance: float) -> tuple[float, bool]:
    """Largest absolute difference, and whether all are within tolerance * (1 + |expected|)."""
    if not expected.numel() and not found.numel():
        return 0.0, True
    if expected.shape != found.shape:
        return float('inf'), False
    expected, found = expected.double(), found.double()
    difference = (expected - found).abs()
    close = bool((difference <= tolerance * (1 + expected.abs())).all())  # False for NaN
    return float(difference.max()), close


def verify(case_path: Path, state_path: Path, tolerance: float) -> int:
    """Print a case's table; returns the number of arrays that differ."""
    case, state = load_arrays(case_path), load_arrays(state_path)
    try:
        found = in_order(recompute(case, state))
    except KeyError as error:
        raise SystemExit(
            f'{case_path}: the array {error} is missing: expected a case of ObjProp goldens'
        ) from None
    except CheckpointError as error:
        raise SystemExit(f'{state_path}: {error}') from None
    except RuntimeError as error:
        raise SystemExit(f'{case_path} and its weights do not fit: {error}') from None
    expected = in_order(case)
    expected[BACKGROUND_FIRST] = expected[BACKGROUND_FIRST][:, 1:]
    print(f'{case_path}: largest difference of {len(found)} arrays')
    failures = 0
    for name, value in found.items():
        if name not in expected:
            raise SystemExit(f'{case_path}: the array {name!r} is missing: expected a case of ObjProp goldens')
        difference, close = compare(expected[name], value, tolerance)
        failures += not close
        print(f'  {name:26s} {tuple(value.shape)!s:20s} {difference:.1e}{"" if close else "   DIFFERS"}')
    unknown = sorted(name for name in case if name not in found and not INPUTS.fullmatch(name))
    if unknown:
        print(f'  not compared, unknown: {", ".join(unknown)}')
    return failures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('dir', type=Path)
    parser.add_argument('--tolerance', type=float, default=1e-4, help='absolute and relative')
    args = parser.parse_args()
    failures = sum(verify(case, state, args.tolerance) for case, state in find_cases(args.dir).items())
    if failures:
        raise SystemExit(f'{failures} arrays differ by more than {args.tolerance} absolute and relative')
    print(f'all within {args.tolerance} absolute and relative')


if __name__ == '__main__':
    main()
