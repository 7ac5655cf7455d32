"""torchvision's kernels under the names ``mmcv.ops`` asks for, when mmcv has no compiled ones.

A plain ``pip install`` of mmcv brings its Python half only; ``import mmcv.ops`` then fails with
``No module named 'mmcv._ext'``. torchvision ships kernels that this project needs (nms, RoIAlign, deformable
convolution v1 and v2): :func:`install_torchvision_kernels` registers a stand-in ``mmcv._ext`` made of them, and of
mmcv's own PyTorch form of multi-scale deformable attention.
Every other op raises an error that names itself. A compiled ``mmcv._ext`` is never replaced.

mmcv calls its kernels inside an ``autograd.Function`` and passes preallocated tensors for the results: the
kernels here write into those. Half-precision inputs are computed in float32 and cast back (as torchvision
does under autocast): its CPU kernels lack these types, and RoI corners in them would be off by whole pixels.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Callable
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any, NoReturn

import torch
import torchvision  # noqa: F401  (registers torch.ops.torchvision)
from torch import Tensor

EXTENSION = 'mmcv._ext'
HOW_TO_COMPILE = (
    'To get every op, compile mmcv for the installed torch (before 2.15; needs a C++ compiler, for a GPU the CUDA '
    "toolkit, and 15 minutes or more): pip install 'setuptools>=80' wheel packaging ninja && "
    'pip install --no-deps --no-build-isolation --no-cache-dir --force-reinstall onedl-mmcv'
)
_V1_GEOMETRY = ('dH', 'dW', 'padH', 'padW', 'dilationH', 'dilationW', 'group', 'deformable_group')
_V2_GEOMETRY = ('stride_h', 'stride_w', 'pad_h', 'pad_w', 'dilation_h', 'dilation_w', 'group', 'deformable_group')


def install_torchvision_kernels() -> bool:
    """Register torchvision's kernels as ``mmcv._ext`` if, and only if, mmcv has none of its own.

    Must run before anything imports ``mmcv.ops`` (so before ``mmdet.models``); may be called again any time.

    Returns:
        True if torchvision's kernels are in use after the call, False if mmcv's compiled ones are.

    Raises:
        ImportError: mmcv has a compiled extension which doesn't load (built for another torch).
    """
    if EXTENSION not in sys.modules:
        if importlib.util.find_spec(EXTENSION) is None:
            _register(_make_extension())
        else:
            _import_compiled()
    return uses_torchvision_kernels()


def uses_torchvision_kernels() -> bool:
    """Whether the ``mmcv._ext`` loaded now is this module's stand-in."""
    return isinstance(sys.modules.get(EXTENSION), _TorchvisionExtension)


class _TorchvisionExtension(ModuleType):
    """The stand-in for ``mmcv._ext``: has every name; those without a kernel raise when called.

    mmcv checks with ``hasattr`` for all of its ops on import, so a missing one can only be reported on use.
    """

    def __getattr__(self, name: str) -> Callable:
        if name.startswith('__'):
            raise AttributeError(f'module {EXTENSION!r} has no attribute {name!r}')
        return _missing_kernel(name)


def _make_extension() -> _TorchvisionExtension:
    extension = _TorchvisionExtension(EXTENSION, "torchvision's kernels in place of mmcv's (maskprop)")
    extension.__spec__ = ModuleSpec(EXTENSION, loader=None, origin='torchvision')
    for kernel in _KERNELS:
        setattr(extension, kernel.__name__, kernel)
    return extension


def _register(extension: ModuleType) -> None:
    sys.modules[EXTENSION] = extension
    setattr(importlib.import_module('mmcv'), '_ext', extension)  # noqa: B010


def _import_compiled() -> None:
    try:
        importlib.import_module(EXTENSION)
    except ImportError as error:
        raise ImportError(
            f"mmcv's compiled extension does not load ({error}): it was built for another torch than the "
            f"installed {torch.__version__}. To use torchvision's kernels instead, install mmcv without it: "
            'pip install --no-deps --force-reinstall --no-cache-dir onedl-mmcv'
        ) from error


def _missing_kernel(name: str) -> Callable:
    def raise_missing(*args: Any, **kwargs: Any) -> NoReturn:
        raise NotImplementedError(
            f'the mmcv op {name!r} needs a compiled mmcv, and the installed one is not. maskprop has kernels for '
            'nms, RoIAlign (average), deformable convolution and multi-scale deformable attention only. '
            f'{HOW_TO_COMPILE}'
        )

    raise_missing.__name__ = name
    return raise_missing


def _upcast(*tensors: Tensor) -> list[Tensor]:
    """Bring ``tensors`` to one type that torchvision's kernels take on every device: float32 or float64."""
    double = any(tensor.dtype == torch.float64 for tensor in tensors)
    return [tensor.to(torch.float64 if double else torch.float32) for tensor in tensors]


# ---- nms -----------------------------------------------------------------------------------------


def nms(bboxes: Tensor, scores: Tensor, iou_threshold: float, offset: int = 0) -> Tensor:
    """Indices (K,) int64 of the boxes (N, 4) kept, best of the scores (N,) first; a width is x2 - x1 + offset."""
    bboxes, scores = _upcast(bboxes, scores)
    if offset:
        # A pixel more on the lower right corner makes the same widths, areas and overlaps.
        bboxes = bboxes + bboxes.new_tensor([0, 0, offset, offset])
    return torch.ops.torchvision.nms(bboxes, scores, iou_threshold)


# ---- RoIAlign ------------------------------------------------------------------------------------


def _average_pooling(
    *,
    aligned_height: int,
    aligned_width: int,
    spatial_scale: float,
    sampling_ratio: int,
    pool_mode: int,
    aligned: bool,
) -> tuple[float, int, int, int, bool]:
    """mmcv's keyword arguments as scale, height, width, sampling ratio and alignment; ``pool_mode`` 0 is max."""
    if pool_mode != 1:
        raise NotImplementedError(
            f"RoIAlign with pool_mode='max' needs a compiled mmcv: torchvision's kernel has pool_mode='avg' "
            f'only. {HOW_TO_COMPILE}'
        )
    return spatial_scale, aligned_height, aligned_width, sampling_ratio, aligned


def roi_align_forward(
    input: Tensor, rois: Tensor, output: Tensor, argmax_y: Tensor, argmax_x: Tensor, **pooling: Any
) -> None:
    """Pool ``input`` (N, C, H, W) at ``rois`` (K, 5: image, x1, y1, x2, y2) into ``output`` (K, C, h, w)."""
    scale, height, width, sampling_ratio, aligned = _average_pooling(**pooling)
    input, rois = _upcast(input, rois)
    pooled = torch.ops.torchvision.roi_align(input, rois, scale, height, width, sampling_ratio, aligned)
    output.copy_(pooled)


def roi_align_backward(
    grad_output: Tensor, rois: Tensor, argmax_y: Tensor, argmax_x: Tensor, grad_input: Tensor, **pooling: Any
) -> None:
    """Write the gradient of :func:`roi_align_forward`'s input into ``grad_input`` (N, C, H, W)."""
    scale, height, width, sampling_ratio, aligned = _average_pooling(**pooling)
    grad_output, rois = _upcast(grad_output, rois)
    gradient = torch.ops.torchvision._roi_align_backward(
        grad_output, rois, scale, height, width, *grad_input.shape, sampling_ratio, aligned
    )
    grad_input.copy_(gradient)


# ---- deformable convolution v1 -------------------------------------------------------------------


def _without_mask(input: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    """The mask (unused) and the zero bias that torchvision's kernel wants for a v1 convolution."""
    return input.new_zeros(input.size(0), 1), input.new_zeros(weight.size(0))


def deform_conv_forward(
    input: Tensor,
    weight: Tensor,
    offset: Tensor,
    output: Tensor,
    columns: Tensor,
    ones: Tensor,
    **geometry: int,
) -> None:
    """Write the deformable convolution of ``input`` (N, C, H, W) into ``output`` (N, C', H', W').

    ``weight`` is (C', C / groups, kH, kW), ``offset`` (N, 2 deform_groups kH kW, H', W') as y, x pairs. Of the
    ``geometry``, ``im2col_step`` only divides the work of mmcv's kernel and has no effect here.
    """
    input, weight, offset = _upcast(input, weight, offset)
    mask, bias = _without_mask(input, weight)
    arguments = [geometry[key] for key in _V1_GEOMETRY]
    output.copy_(torch.ops.torchvision.deform_conv2d(input, weight, offset, mask, bias, *arguments, False))


def _deform_conv_gradients(
    input: Tensor, offset: Tensor, grad_output: Tensor, weight: Tensor, geometry: dict[str, int]
) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients of the input, the weight and the offsets of a v1 convolution."""
    input, offset, grad_output, weight = _upcast(input, offset, grad_output, weight)
    mask, bias = _without_mask(input, weight)
    arguments = [geometry[key] for key in _V1_GEOMETRY]
    gradients = torch.ops.torchvision._deform_conv2d_backward(
        grad_output, input, weight, offset, mask, bias, *arguments, False
    )
    return gradients[0], gradients[1], gradients[2]


def deform_conv_backward_input(
    input: Tensor,
    offset: Tensor,
    grad_output: Tensor,
    grad_input: Tensor,
    grad_offset: Tensor,
    weight: Tensor,
    columns: Tensor,
    **geometry: int,
) -> None:
    """Write the gradients of a v1 convolution's input and offsets into ``grad_input`` and ``grad_offset``.

    torchvision's kernel computes the weight's gradient in the same call: it is left in mmcv's scratch buffer
    ``columns`` for :func:`deform_conv_backward_parameters`, which mmcv calls next, not to compute it twice.
    """
    from_input, from_weight, from_offset = _deform_conv_gradients(input, offset, grad_output, weight, geometry)
    grad_input.copy_(from_input)
    grad_offset.copy_(from_offset)
    columns.resize_(weight.shape).copy_(from_weight)


def deform_conv_backward_parameters(
    input: Tensor,
    offset: Tensor,
    grad_output: Tensor,
    grad_weight: Tensor,
    columns: Tensor,
    ones: Tensor,
    *,
    scale: float,
    **geometry: int,
) -> None:
    """Add ``scale`` times the gradient of a v1 convolution's weight to ``grad_weight``."""
    if columns.shape == grad_weight.shape:
        grad_weight.add_(columns, alpha=scale)
        columns.resize_(0)
        return
    # The weight's values don't enter its own gradient: its shape is all that the kernel needs.
    weight = torch.zeros_like(grad_weight)
    grad_weight.add_(_deform_conv_gradients(input, offset, grad_output, weight, geometry)[1], alpha=scale)


# ---- deformable convolution v2 -------------------------------------------------------------------


def modulated_deform_conv_forward(
    input: Tensor,
    weight: Tensor,
    bias: Tensor,
    ones: Tensor,
    offset: Tensor,
    mask: Tensor,
    output: Tensor,
    columns: Tensor,
    *,
    with_bias: bool,
    **geometry: int,
) -> None:
    """As :func:`deform_conv_forward`, samples weighted by ``mask`` (N, deform_groups kh kw, H', W')."""
    bias = bias if with_bias else weight.new_zeros(weight.size(0))
    input, weight, offset, mask, bias = _upcast(input, weight, offset, mask, bias)
    arguments = [geometry[key] for key in _V2_GEOMETRY]
    output.copy_(torch.ops.torchvision.deform_conv2d(input, weight, offset, mask, bias, *arguments, True))


def modulated_deform_conv_backward(
    input: Tensor,
    weight: Tensor,
    bias: Tensor,
    ones: Tensor,
    offset: Tensor,
    mask: Tensor,
    columns: Tensor,
    grad_input: Tensor,
    grad_weight: Tensor,
    grad_bias: Tensor,
    grad_offset: Tensor,
    grad_mask: Tensor,
    grad_output: Tensor,
    *,
    with_bias: bool,
    **geometry: int,
) -> None:
    """Write the gradients of a v2 convolution's tensors into the ``grad_*`` ones."""
    bias = bias if with_bias else weight.new_zeros(weight.size(0))
    input, weight, offset, mask, bias, grad_output = _upcast(input, weight, offset, mask, bias, grad_output)
    arguments = [geometry[key] for key in _V2_GEOMETRY]
    gradients = torch.ops.torchvision._deform_conv2d_backward(
        grad_output, input, weight, offset, mask, bias, *arguments, True
    )
    for target, gradient in zip((grad_input, grad_weight, grad_offset, grad_mask), gradients[:4], strict=True):
        target.copy_(gradient)
    if with_bias:
        grad_bias.copy_(gradients[4])


# ---- multi-scale deformable attention ------------------------------------------------------------


def ms_deform_attn_forward(
    value: Tensor,
    spatial_shapes: Tensor,
    level_start_index: Tensor,
    sampling_locations: Tensor,
    attention_weights: Tensor,
    im2col_step: int,
) -> Tensor:
    """mmcv's PyTorch form, which it takes by itself on CPUs alone.

    Values (B, keys, heads, C), locations (B, queries, heads, levels, points, 2) and weights of that shape without
    the last axis give (B, queries, heads C).
    """
    from mmcv.ops.multi_scale_deform_attn import multi_scale_deformable_attn_pytorch

    return multi_scale_deformable_attn_pytorch(value, spatial_shapes, sampling_locations, attention_weights)


def ms_deform_attn_backward(
    value: Tensor,
    spatial_shapes: Tensor,
    level_start_index: Tensor,
    sampling_locations: Tensor,
    attention_weights: Tensor,
    grad_output: Tensor,
    grad_value: Tensor,
    grad_sampling_loc: Tensor,
    grad_attn_weight: Tensor,
    im2col_step: int,
) -> None:
    """Gradients of :func:`ms_deform_attn_forward`, which is computed again for them."""
    inputs = [tensor.detach().requires_grad_() for tensor in (value, sampling_locations, attention_weights)]
    with torch.enable_grad():
        output = ms_deform_attn_forward(
            inputs[0], spatial_shapes, level_start_index, inputs[1], inputs[2], im2col_step
        )
    gradients = torch.autograd.grad(output, inputs, grad_output)
    for target, gradient in zip((grad_value, grad_sampling_loc, grad_attn_weight), gradients, strict=True):
        target.copy_(gradient)


# ---- build information ---------------------------------------------------------------------------


def get_compiler_version() -> str:
    """The text that mmcv shows for its compiler: nothing was compiled."""
    return "not compiled: torchvision's kernels"


def get_compiling_cuda_version() -> str:
    """The text that mmcv shows for its CUDA version: nothing was compiled."""
    return "not compiled: torchvision's kernels"


_KERNELS = (
    nms,
    roi_align_forward,
    roi_align_backward,
    deform_conv_forward,
    deform_conv_backward_input,
    deform_conv_backward_parameters,
    modulated_deform_conv_forward,
    modulated_deform_conv_backward,
    ms_deform_attn_forward,
    ms_deform_attn_backward,
    get_compiler_version,
    get_compiling_cuda_version,
)
