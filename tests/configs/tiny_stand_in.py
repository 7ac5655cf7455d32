"""A stand-in model (tests/engine/tiny_model.py) that trains in milliseconds, for tests/engine and tests/tools."""

_base_ = ['tiny_set.py']

model = dict(
    type='TinyVideoModel',
    norm='train',
    bbox_head=dict(type='Shared2FCBBoxHead', num_classes=3),
    data_preprocessor=dict(
        type='TrackDataPreprocessor',
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
        bgr_to_rgb=True,
        pad_mask=True,
        pad_size_divisor=16,
    ),
)
