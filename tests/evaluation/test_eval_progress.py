"""What is shown of a long evaluation: a bar for every stage that walks over records, a line for a large file."""

from __future__ import annotations

import json
import zipfile

from maskprop.evaluation import evaluate_video_ap, progress, read_results
from maskprop.evaluation.validation import load_json
from tests.evaluation.eval_cases import random_case


def test_every_stage_has_a_bar_that_comes_only_after_a_while(monkeypatch, capsys):
    truth, results = random_case(0)
    evaluate_video_ap(truth, results)
    assert capsys.readouterr().err == ''
    monkeypatch.setattr(progress, 'DELAY', 0)
    monkeypatch.setattr('maskprop.utils.progress.INTERVAL', 0)
    evaluate_video_ap(truth, results)
    shown = capsys.readouterr().err
    for stage in (
        'checking annotations',
        'decoding ground truth',
        'checking results',
        'decoding results',
        'video IoU',
    ):
        assert f'{stage}: ' in shown, stage


def test_large_files_are_announced(monkeypatch, capsys, tmp_path):
    path, packed = tmp_path / 'results.json', tmp_path / 'results.zip'
    path.write_text(json.dumps([1, 2, 3]))
    with zipfile.ZipFile(packed, 'w') as archive:
        archive.write(path, 'results.json')
    assert load_json(path) == read_results(path) == read_results(packed) == [1, 2, 3]
    assert capsys.readouterr().err == ''
    monkeypatch.setattr(progress, 'LARGE_FILE', 4)
    assert load_json(path) == read_results(packed) == [1, 2, 3]
    assert capsys.readouterr().err.count('reading ') == 2
