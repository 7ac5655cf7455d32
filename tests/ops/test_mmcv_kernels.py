"""torchvision's kernels behind mmcv's own modules: against torchvision called directly (equal to the bit) and
against plain PyTorch forms; and their installation. Deformable convolution has a file of its own."""

from __future__ import annotations

import subprocess
import sys
from types import ModuleType

import pytest
import torch
import torchvision
from kernel_references import assert_close, assert_equal, outcome, plain_nms, plain_roi_align
from torch import Tensor

from maskprop.ops import mmcv_kernels

mmcv_kernels.install_torchvision_kernels()

import mmcv  # noqa: E402
from mmcv import ops  # noqa: E402

standin = pytest.mark.skipif(
    not mmcv_kernels.uses_torchvision_kernels(), reason="mmcv's compiled kernels are in use here"
)


# ---- nms -------------------------------------------------------------------------------------------


def random_boxes(n: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    """``n`` boxes in groups of three near copies, and scores."""
    generator = torch.Generator().manual_seed(seed)
    corner = torch.rand(n // 3, 2, generator=generator) * 30
    boxes = torch.cat([corner, corner + 1 + torch.rand(n // 3, 2, generator=generator) * 20], 1).repeat(3, 1)
    return boxes + 0.2 * torch.rand(n, 4, generator=generator), torch.rand(n, generator=generator)


@pytest.mark.parametrize('offset', [0, 1])
@pytest.mark.parametrize('threshold', [0.1, 0.5, 0.9])
def test_nms(offset, threshold):
    boxes, scores = random_boxes(60)
    dets, kept = ops.nms(boxes, scores, threshold, offset=offset)
    assert 0 < len(kept) < 60
    assert kept.tolist() == plain_nms(boxes, scores, threshold, offset)
    assert torch.equal(dets, torch.cat([boxes[kept], scores[kept, None]], 1))
    if offset == 0:
        assert torch.equal(kept, torchvision.ops.nms(boxes, scores, threshold))


def test_nms_offset_counts_a_pixel_more():
    boxes, scores = torch.tensor([[0.0, 0, 1, 1], [1, 0, 2, 1]]), torch.tensor([0.9, 0.8])
    assert ops.nms(boxes, scores, 0.3, offset=0)[1].tolist() == [0, 1]  # they touch: IoU 0
    assert ops.nms(boxes, scores, 0.3, offset=1)[1].tolist() == [0]  # two of six pixels shared: IoU 1/3


def test_nms_of_nothing():
    dets, kept = ops.nms(torch.zeros(0, 4), torch.zeros(0), 0.5)
    assert dets.shape == (0, 5) and kept.shape == (0,) and kept.dtype == torch.int64


def test_nms_score_threshold_and_max_num():
    boxes = torch.tensor([[0.0, 0, 10, 10], [20, 0, 30, 10], [40, 0, 50, 10]])
    scores = torch.tensor([0.2, 0.9, 0.8])
    assert ops.nms(boxes, scores, 0.5, score_threshold=0.3)[1].tolist() == [1, 2]
    assert ops.nms(boxes, scores, 0.5, max_num=1)[1].tolist() == [1]


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16, torch.float64])
def test_nms_types(dtype):
    boxes, scores = random_boxes(21, seed=1)
    boxes, scores = boxes.round().to(dtype), scores.to(dtype)
    _, kept = ops.nms(boxes, scores, 0.5)
    assert torch.equal(kept, torchvision.ops.nms(boxes.float(), scores.float(), 0.5))


def test_batched_nms_keeps_overlaps_of_different_classes():
    boxes = torch.tensor([[0.0, 0, 10, 10], [0, 0, 10, 10], [0, 0, 10, 9]])
    scores, labels = torch.tensor([0.9, 0.8, 0.7]), torch.tensor([0, 1, 1])
    dets, kept = ops.batched_nms(boxes, scores, labels, dict(type='nms', iou_threshold=0.5))
    assert kept.tolist() == [0, 1] and dets.shape == (2, 5)


# ---- RoIAlign --------------------------------------------------------------------------------------

# Inside, partly outside on every side, wholly outside, of no size, and of the second image.
ROIS = [
    [0, 3.3, 4.1, 30.7, 25.2],
    [1, -9.5, -3.2, 12.4, 60.9],
    [0, 30.1, 20.2, 70.3, 44.4],
    [1, 200.0, 200.0, 220.0, 230.0],
    [1, 10.0, 10.0, 10.0, 10.0],
]


def roi_inputs(dtype=torch.float64, rois=ROIS) -> tuple[Tensor, Tensor]:
    x = torch.randn(2, 3, 13, 17, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    return x.to(dtype), torch.tensor(rois, dtype=dtype).reshape(-1, 5)


@pytest.mark.parametrize('aligned', [True, False])
@pytest.mark.parametrize('samples', [1, 2, 3])
def test_roi_align_against_plain_form(aligned, samples):
    x, rois = roi_inputs()
    layer = ops.RoIAlign(4, spatial_scale=0.25, sampling_ratio=samples, aligned=aligned)
    expected = outcome(lambda x: plain_roi_align(x, rois, 4, 0.25, samples, aligned), [x])
    assert_close(outcome(lambda x: layer(x, rois), [x]), expected)


@pytest.mark.parametrize('samples', [0, 2])
@pytest.mark.parametrize('aligned', [True, False])
def test_roi_align_against_torchvision(aligned, samples):
    x, rois = roi_inputs(torch.float32)
    layer = ops.RoIAlign((5, 3), spatial_scale=0.5, sampling_ratio=samples, aligned=aligned)
    expected = outcome(lambda x: torchvision.ops.roi_align(x, rois, (5, 3), 0.5, samples, aligned), [x])
    assert_equal(outcome(lambda x: layer(x, rois), [x]), expected)


def test_roi_align_reads_the_image_of_its_index():
    x = torch.stack([torch.full((1, 8, 8), 1.0), torch.full((1, 8, 8), 2.0)])
    rois = torch.tensor([[1.0, 2, 2, 6, 6], [0, 2, 2, 6, 6]])
    assert ops.RoIAlign(2)(x, rois).mean((1, 2, 3)).tolist() == [2.0, 1.0]


def test_roi_align_without_rois():
    x, rois = roi_inputs(torch.float32, [])
    value, gradient = outcome(lambda x: ops.RoIAlign(7)(x, rois), [x])
    assert value.shape == (0, 3, 7, 7)
    assert gradient.shape == x.shape and gradient.eq(0).all()


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
def test_roi_align_half_precision(dtype):
    x, rois = roi_inputs(dtype)
    exact = outcome(lambda x: ops.RoIAlign(4, 0.25)(x, rois.float()), [x.float()])
    assert_equal(outcome(lambda x: ops.RoIAlign(4, 0.25)(x, rois), [x]), [t.to(dtype) for t in exact])


def test_under_autocast():
    x, rois = roi_inputs(torch.float32)
    conv, layer = torch.nn.Conv2d(3, 4, 1), ops.RoIAlign(4, 0.25)
    dcn = ops.ModulatedDeformConv2dPack(4, 5, 3, padding=1)
    with torch.autocast('cpu', torch.bfloat16):
        features = conv(x)
        pooled, out = layer(features, rois), dcn(features)
    assert features.dtype == pooled.dtype == out.dtype == torch.bfloat16
    (pooled.float().sum() + out.float().sum()).backward()
    for parameter in [*conv.parameters(), *dcn.parameters()]:
        assert parameter.grad.dtype == torch.float32 and parameter.grad.isfinite().all()
    assert conv.weight.grad.abs().sum() > 0 and dcn.weight.grad.abs().sum() > 0


@standin
def test_roi_align_max_pooling_is_refused():
    x, rois = roi_inputs(torch.float32)
    with pytest.raises(NotImplementedError, match="RoIAlign with pool_mode='max' needs a compiled mmcv"):
        ops.RoIAlign(4, pool_mode='max')(x, rois)


# ---- installation ----------------------------------------------------------------------------------


@standin
def test_an_op_without_a_kernel_names_itself():
    with pytest.raises(
        NotImplementedError, match=r"'sigmoid_focal_loss_forward' needs a compiled mmcv(.|\n)*pip install"
    ):
        ops.sigmoid_focal_loss(torch.rand(3, 4), torch.tensor([0, 1, 2]), 2.0, 0.25, None, 'mean')
    with pytest.raises(NotImplementedError, match="'softnms' needs a compiled mmcv"):
        ops.soft_nms(torch.rand(3, 4), torch.rand(3))


@standin
def test_installing_again_changes_nothing():
    extension = sys.modules['mmcv._ext']
    assert mmcv_kernels.install_torchvision_kernels() is True
    assert sys.modules['mmcv._ext'] is mmcv._ext is extension


def test_a_loaded_compiled_extension_is_kept(monkeypatch):
    compiled = ModuleType('mmcv._ext')
    monkeypatch.setitem(sys.modules, 'mmcv._ext', compiled)
    assert mmcv_kernels.install_torchvision_kernels() is False
    assert sys.modules['mmcv._ext'] is compiled


@pytest.fixture
def compiled_mmcv(monkeypatch, tmp_path):
    """An mmcv with an ``_ext`` on disk that isn't loaded yet; returns the file."""
    monkeypatch.setattr(mmcv, '__path__', [str(tmp_path)])
    monkeypatch.setattr(mmcv, '_ext', None, raising=False)
    monkeypatch.setitem(sys.modules, 'mmcv._ext', None)
    del sys.modules['mmcv._ext']
    return tmp_path / '_ext.py'


def test_a_compiled_extension_on_disk_is_kept(compiled_mmcv):
    compiled_mmcv.write_text('nms = "compiled"\n')
    assert mmcv_kernels.install_torchvision_kernels() is False
    assert sys.modules['mmcv._ext'].nms == 'compiled'


def test_a_compiled_extension_that_does_not_load_is_reported(compiled_mmcv):
    compiled_mmcv.write_text('raise ImportError("undefined symbol: _ZN3c104cuda")\n')
    with pytest.raises(ImportError, match=r'undefined symbol(.|\n)*built for another torch(.|\n)*--no-cache-dir'):
        mmcv_kernels.install_torchvision_kernels()


@pytest.mark.slow
def test_mmdet_imports_in_a_fresh_process():
    code = (
        'from maskprop.ops.mmcv_kernels import install_torchvision_kernels as install; install(); install()\n'
        'import mmdet.models, mmcv.ops\n'
        'from mmcv.ops import get_compiler_version; print("compiler:", get_compiler_version())'
    )
    done = subprocess.run(
        [sys.executable, '-W', 'ignore', '-c', code], capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    assert 'compiler:' in done.stdout
