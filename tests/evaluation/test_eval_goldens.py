"""Video AP equals the numbers of the reference code, where the expected values lie beside the checkout."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from maskprop.evaluation import METRIC_NAMES, evaluate_video_ap

SHARED = Path(os.environ.get('MASKPROP_SHARED', Path(__file__).parents[3] / 'shared'))
CASES = sorted((SHARED / 'ytvis_eval_goldens').glob('case_*'))


@pytest.mark.skipif(not CASES, reason='needs ../shared/ytvis_eval_goldens (or MASKPROP_SHARED)')
@pytest.mark.filterwarnings('ignore:.*does not list are left out')
@pytest.mark.parametrize('backend', ['numba', 'numpy'])
@pytest.mark.parametrize('case', CASES, ids=lambda case: case.name)
def test_equals_the_reference(case: Path, backend: str):
    gt, results, expected = (json.loads((case / f'{n}.json').read_text()) for n in ('gt', 'results', 'expected'))
    result = evaluate_video_ap(gt, results, backend=backend)
    assert list(result.metrics) == list(METRIC_NAMES) == list(expected['stats'])
    assert result.metrics == pytest.approx(expected['stats'], rel=0, abs=1e-12)
    per_category = {int(category): ap for category, ap in expected['per_category_ap'].items()}
    assert result.per_category == pytest.approx(per_category, rel=0, abs=1e-12)
