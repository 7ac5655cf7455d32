"""tools/benchmarks/layout.py at tiny size: rows, refusals."""

import argparse
import json
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

sys.path.insert(0, str(Path(__file__).parents[2] / 'tools/benchmarks'))

import layout  # noqa: E402
from common import BenchmarkError  # noqa: E402

pytestmark = pytest.mark.slow


class Detector(nn.Module):
    """One convolution; with ``apart`` its channels-last maps are others."""

    def __init__(self, apart: float = 0.0) -> None:
        super().__init__()
        self.conv, self.apart, self.seen = nn.Conv2d(3, 4, 3, padding=1), apart, []

    def extract_feat(self, image: torch.Tensor) -> tuple[torch.Tensor, ...]:
        channels_last = image.is_contiguous(memory_format=torch.channels_last)
        self.seen.append((*image.shape[-2:], channels_last))
        return (self.conv(image) * (1 + self.apart * channels_last),)


def test_both_layouts_are_timed_in_turns_and_the_limit_is_told(tmp_path, monkeypatch, capsys):
    detector, out = Detector(), tmp_path / 'rows.json'
    monkeypatch.setattr(layout.models, 'build', lambda cfg, device: argparse.Namespace(detector=detector))
    layout.main(['--sizes', '32x64', '256x256', '--runs', '2', '--threads', '1', '--json', str(out)])
    rows = json.loads(out.read_text())['rows']
    assert [row['size'] for row in rows] == [[32, 64], [256, 256]]
    assert all([len(seconds) for seconds in row['seconds'].values()] == [2, 2] for row in rows)
    assert detector.seen[:8] == 4 * [(32, 64, False), (32, 64, True)]  # the check, warming up, two rounds
    lines = capsys.readouterr().out.splitlines()
    assert any(line.startswith('| 64x32 | no |') for line in lines)
    assert any(line.startswith('| 256x256 | yes |') for line in lines)


def test_other_feature_maps_are_refused():
    args = argparse.Namespace(device='cpu', runs=1)
    with torch.no_grad(), pytest.raises(BenchmarkError, match='differ by 1.0e-03'):
        layout.measure(Detector(1e-3), (32, 32), args)


@pytest.mark.parametrize('text', ['384', '100x64', 'axb', '0x32', '32x32x3'])
def test_sizes_that_are_none_are_refused(text):
    with pytest.raises(argparse.ArgumentTypeError, match='expected HEIGHTxWIDTH'):
        layout.height_and_width(text)
