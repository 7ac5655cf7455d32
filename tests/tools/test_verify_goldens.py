"""Reference numbers are reproduced; another case or a changed number is seen."""

from __future__ import annotations

import os
import runpy
import shutil
import sys
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
import torch

from maskprop.conversion.golden_arrays import Compared
from maskprop.conversion.golden_cases import compare_array
from maskprop.conversion.goldens import methods

ROOT = Path(__file__).parents[2]
SHARED_ROOT = Path(os.environ.get('MASKPROP_SHARED', Path(__file__).parents[3] / 'shared'))
SHARED = SHARED_ROOT / 'objprop_goldens'
FOLDERS = {method: SHARED_ROOT / 'goldens' / method for method in methods()} | dict(objprop=SHARED)
needs_goldens = pytest.mark.skipif(
    not list(SHARED.glob('case_*.npz')), reason='needs ../shared/objprop_goldens (or MASKPROP_SHARED)'
)


@pytest.fixture
def verify(capsys):
    """Runs the tool on a folder; returns its message if it fails, or an empty string, and what it printed."""

    def run(folder: Path, method: str = 'objprop') -> tuple[str, str]:
        tool = str(ROOT / 'tools/verify_goldens.py')
        with mock.patch.object(sys, 'argv', [tool, method, str(folder)]):
            try:
                runpy.run_path(tool, run_name='__main__')
            except SystemExit as error:
                assert error.code, 'it must not leave early with success'
                printed = capsys.readouterr()
                return printed.err, printed.out
        return '', capsys.readouterr().out

    return run


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


@pytest.mark.parametrize('method', methods())
def test_every_array_is_reproduced(method, verify):
    if not FOLDERS[method].is_dir():
        pytest.skip(f'needs ../shared/{FOLDERS[method].relative_to(SHARED_ROOT)} (or MASKPROP_SHARED)')
    message, printed = verify(FOLDERS[method], method)
    assert message == ''
    assert 'all within their tolerance' in printed
    assert 'not compared' not in printed
    assert 'DIFFERS' not in printed


@needs_goldens
def test_no_output_of_objprop_is_taken_for_an_input(verify):
    compared = {line.split()[0] for line in verify(SHARED)[1].splitlines() if line.startswith('  ')}
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
        'seq_out',
    )
    outputs += ('seq_fill', 'track_e', 'track_s', 'track_l', 'track_m', 'match_c', 'match_m')
    expected = {n for n in np.load(SHARED / 'case_a.npz').files if n.startswith(outputs)}
    expected.discard('predict_boxes_orig')
    assert len(expected) > 25
    assert expected <= compared


@needs_goldens
@pytest.mark.parametrize(
    'name', ['mask_logits', 'seq_fill_prob', 'seq_fill_mask', 'match_det_obj_ids', 'loss_propattn']
)
def test_a_changed_number_fails(name, tmp_path, verify):
    def change(array):
        array = array.copy()
        array.flat[-1] = 1 - array.flat[-1] if array.dtype == np.uint8 else array.flat[-1] + 1
        return array

    message, printed = verify(copy_case(tmp_path, **{name: change}))
    assert '1 arrays differ' in message
    differing = [line for line in printed.splitlines() if 'DIFFERS' in line]
    assert [line.split()[0] for line in differing] == [name]


@needs_goldens
def test_changed_weights_fail(tmp_path, verify):
    folder = copy_case(tmp_path, **{'prop_head.conv_logits.bias': lambda bias: bias[::-1].copy()})
    assert 'arrays differ' in verify(folder)[0]


@needs_goldens
def test_a_row_order_of_fills_has_no_meaning(tmp_path, verify):
    names = ('seq_fill_prob', 'seq_fill_prob_index', 'seq_fill_mask', 'seq_fill_mask_index', 'seq_out')
    assert verify(copy_case(tmp_path, **dict.fromkeys(names, lambda rows: rows[::-1])))[0] == ''


@needs_goldens
@pytest.mark.parametrize('name', ['cur_p3', 'similarity'])
def test_a_missing_array_is_named(name, tmp_path, verify):
    message = verify(copy_case(tmp_path, **{name: None}))[0]
    assert name in message
    assert 'case_a.npz' in message


@needs_goldens
def test_weights_of_another_kind_are_named(tmp_path, verify):
    copy_case(tmp_path)
    np.savez(tmp_path / 'case_a_state.npz', **{'conv1.weight': np.zeros((4, 3, 7, 7), dtype=np.float32)})
    assert 'case_a_state.npz' in verify(tmp_path)[0]


@needs_goldens
def test_missing_weights_are_named(tmp_path, verify):
    copy_case(tmp_path)
    (tmp_path / 'case_a_state.npz').unlink()
    assert 'case_a_state.npz' in verify(tmp_path)[0]


@needs_goldens
@pytest.mark.parametrize('place', ['.', 'one'])
def test_a_folder_of_a_case_and_one_of_folders(place, tmp_path, verify):
    (tmp_path / place).mkdir(exist_ok=True)
    for name in ('case', 'state'):
        shutil.copy(
            SHARED / ('case_a.npz' if name == 'case' else 'case_a_state.npz'), tmp_path / place / f'{name}.npz'
        )
    assert verify(tmp_path)[0] == ''


def test_other_folders_and_files(tmp_path, verify):
    assert 'found none of them' in verify(tmp_path)[0]
    (tmp_path / 'case_b.npz').write_bytes(b'not an archive')
    assert 'expected an .npz archive' in verify(tmp_path)[0]


@pytest.mark.parametrize(
    ('ours', 'reference', 'close'),
    [
        ([1.0, 2.0], [1.05, 2.0], True),
        ([1.0, 2.0], [1.2, 2.0], False),
        ([float('nan')], [0.0], False),
        ([1.0], [1.0, 2.0], False),
    ],
)
def test_an_array_is_close_or_not(ours, reference, close):
    row = compare_array('x', Compared(torch.tensor(ours), torch.tensor(reference), atol=0.1))
    assert row.close is close


def test_what_is_undecided_does_not_count():
    ours, reference = torch.tensor([1, 0]), torch.tensor([0, 0])
    assert not compare_array('x', Compared(ours, reference)).close
    assert compare_array('x', Compared(ours, reference, undecided=torch.tensor([True, False]))) == (
        'x',
        (2,),
        0,
        True,
    )
