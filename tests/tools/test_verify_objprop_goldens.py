"""ObjProp's reference numbers are reproduced; another case or a changed number is seen."""

from __future__ import annotations

import os
import runpy
import sys
from pathlib import Path
from unittest import mock

import numpy as np
import pytest

ROOT = Path(__file__).parents[2]
SHARED = Path(os.environ.get('MASKPROP_SHARED', Path(__file__).parents[3] / 'shared')) / 'objprop_goldens'
needs_goldens = pytest.mark.skipif(
    not list(SHARED.glob('case_*.npz')), reason='needs ../shared/objprop_goldens (or MASKPROP_SHARED)'
)


def verify(folder: Path) -> str:
    """Run the tool; returns its message if it fails, or an empty string."""
    tool = str(ROOT / 'tools/verify_objprop_goldens.py')
    with mock.patch.object(sys, 'argv', [tool, str(folder)]):
        try:
            runpy.run_path(tool, run_name='__main__')
        except SystemExit as error:
            assert error.code, 'it must not leave early with success'
            return str(error.code)
    return ''


def copy_case(target: Path, **changes) -> Path:
    """The shared case with some arrays changed by functions, or dropped where the change is None."""
    for name in ('case_a.npz', 'case_a_state.npz'):
        arrays = dict(np.load(SHARED / name))
        for key in set(changes) & set(arrays):
            changed = changes[key] and changes[key](arrays.pop(key))
            arrays.pop(key, None)
            if changed is not None:
                arrays[key] = changed
        np.savez(target / name, **arrays)
    return target


@needs_goldens
def test_every_array_is_reproduced(capsys):
    assert verify(SHARED) == ''
    printed = capsys.readouterr().out
    assert 'all within 0.0001' in printed
    assert 'not compared' not in printed
    lines = [line.split() for line in printed.splitlines() if line.startswith('  ')]
    compared = {line[0] for line in lines}
    for case in SHARED.glob('case_*.npz'):
        if not case.stem.endswith('_state'):
            outputs = (
                'feat_',
                'sim',
                'fg_',
                'bg_',
                'attn_',
                'mask_',
                'loss_',
                'spatial_',
                'predict_b',
                'predict_p',
            )
            outputs += ('seq_out', 'seq_fill', 'track_e', 'track_s', 'track_l', 'track_m', 'match_c', 'match_m')
            expected = {n for n in np.load(case).files if n.startswith(outputs) and n != 'predict_boxes_orig'}
            assert len(expected) > 25
            assert expected <= compared


@needs_goldens
@pytest.mark.parametrize(
    'name', ['mask_logits', 'seq_fill_prob', 'seq_fill_mask', 'match_det_obj_ids', 'loss_propattn']
)
def test_a_changed_number_fails(name, tmp_path, capsys):
    def change(array):
        array = array.copy()
        array.flat[-1] = 1 - array.flat[-1] if array.dtype == np.uint8 else array.flat[-1] + 1
        return array

    assert '1 arrays differ' in verify(copy_case(tmp_path, **{name: change}))
    differing = [line for line in capsys.readouterr().out.splitlines() if 'DIFFERS' in line]
    assert [line.split()[0] for line in differing] == [name]


@needs_goldens
def test_changed_weights_fail(tmp_path):
    folder = copy_case(tmp_path, **{'prop_head.conv_logits.bias': lambda bias: bias[::-1].copy()})
    assert 'arrays differ' in verify(folder)


@needs_goldens
def test_a_row_order_of_fills_has_no_meaning(tmp_path):
    names = ('seq_fill_prob', 'seq_fill_prob_index', 'seq_fill_mask', 'seq_fill_mask_index', 'seq_out')
    assert verify(copy_case(tmp_path, **dict.fromkeys(names, lambda rows: rows[::-1]))) == ''


@needs_goldens
@pytest.mark.parametrize('name', ['cur_p3', 'similarity'])
def test_a_missing_array_is_named(name, tmp_path):
    message = verify(copy_case(tmp_path, **{name: None}))
    assert name in message or 'prop_head' in message
    assert 'case_a' in message


@needs_goldens
def test_weights_of_another_kind_are_named(tmp_path):
    copy_case(tmp_path)
    np.savez(tmp_path / 'case_a_state.npz', **{'conv1.weight': np.zeros((4, 3, 7, 7), dtype=np.float32)})
    assert 'case_a_state.npz' in verify(tmp_path)


def test_other_folders_and_files(tmp_path):
    assert 'found no case_' in verify(tmp_path)
    (tmp_path / 'case_b.npz').write_bytes(b'not an archive')
    assert 'case_b_state.npz' in verify(tmp_path)
    (tmp_path / 'case_b_state.npz').write_bytes(b'not an archive')
    assert 'expected an .npz archive' in verify(tmp_path)
