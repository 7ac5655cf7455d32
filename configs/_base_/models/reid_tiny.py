"""DeepSORT's appearance model for the synthetic sets: a ResNet-18 with 16 base channels, 64 numbers a crop."""

crop_size = (64, 64)  # height, width, of training and of tracker.reid.img_scale
reid = dict(
    type='ReIDNet',
    data_preprocessor=dict(
        type='CropPreprocessor', mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375], bgr_to_rgb=True
    ),
    backbone=dict(type='ResNet', depth=18, base_channels=16, out_indices=(3,), norm_eval=False, style='pytorch'),
    neck=dict(type='GlobalAveragePooling'),
    head=dict(
        type='ReIDHead',
        in_channels=128,
        fc_channels=128,
        out_channels=64,
        norm_cfg=dict(type='BN1d'),
        loss_triplet=dict(type='TripletLoss', margin=0.3),
        loss_cls=dict(type='CrossEntropyLoss'),
        num_classes=1000,  # as many as the training set has instances, or more
    ),
)
