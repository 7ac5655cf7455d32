"""MaskProp on the demo's Mask R-CNN, at the size of the tests. Used by tests/engine and tests/tools."""

_base_ = ['../../configs/_base_/models/tiny_mask_rcnn.py', 'tiny_set.py']

model = dict(
    detector=dict(roi_head=dict(bbox_head=dict(num_classes=3), mask_head=dict(num_classes=3))),
    propagation_head=dict(
        type='MaskPropagationHead',
        in_channels=32,
        channels=32,
        offset_channels=32,
        dilations=(1, 3, 6),
        feat_level=0,
        stride=4,
        normalizer='instances+background',
    ),
    linker=dict(type='ClipLinker', threshold=0.1),
    clip_radius=2,
)
