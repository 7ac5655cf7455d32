"""EnsembleVIS's three models for the synthetic sets, from scratch: crop segmentation model, ReID model, crop classifier."""

crop_size = (64, 64)  # height, width, of the ReID model and of the classifier
_crops = dict(
    type='ReIDNet',
    data_preprocessor=dict(
        type='CropPreprocessor', mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375], bgr_to_rgb=True
    ),
    backbone=dict(type='ResNet', depth=18, base_channels=16, out_indices=(3,), norm_eval=False, style='pytorch'),
    neck=dict(type='GlobalAveragePooling'),
)
reid = dict(
    head=dict(
        type='ReIDHead',
        in_channels=128,
        fc_channels=128,
        out_channels=64,
        norm_cfg=dict(type='BN1d'),
        loss_triplet=dict(type='SoftMarginTripletLoss'),
    ),
    **_crops,
)
# five categories, and false detections
classifier = dict(head=dict(type='CropClassHead', in_channels=128, num_classes=6), **_crops)
del _crops

segmenter = dict(
    type='DeepLabV3Plus',
    backbone=dict(
        type='GuidedResNet',
        depth=18,
        base_channels=16,
        strides=(1, 2, 2, 1),
        dilations=(1, 1, 1, 2),
        out_indices=(0, 3),
        norm_eval=False,
        style='pytorch',
    ),
    in_channels=128,
    low_channels=16,
    channels=32,
    low_width=16,
    dilations=(1, 2, 3),
)
