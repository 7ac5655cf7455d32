"""EnsembleVIS's three models at full size: crop segmentation model, ReID model, crop classifier; crops as the authors' where known.

ResNets stand in for what mmdet doesn't have: ResNet-50 for PReMVOS's wide ResNet (ReID), ResNet-101 for Xception-65
(segmenter). The classifier's ResNeXt-101 32x48d begins from its published weights (CC-BY-NC 4.0, 3.3 GB), trained
on Instagram and ImageNet.
"""

reid_size = (128, 128)  # height, width
classifier_size = (224, 224)
_preprocessor = dict(
    type='CropPreprocessor', mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375], bgr_to_rgb=True
)
reid = dict(
    type='ReIDNet',
    data_preprocessor=_preprocessor,
    backbone=dict(
        type='ResNet',
        depth=50,
        out_indices=(3,),
        norm_eval=True,
        style='pytorch',
        init_cfg=dict(type='Pretrained', checkpoint='torchvision://resnet50'),
    ),
    neck=dict(type='GlobalAveragePooling'),
    head=dict(
        type='ReIDHead',
        in_channels=2048,
        fc_channels=500,
        num_fcs=2,
        out_channels=128,
        loss_triplet=dict(type='SoftMarginTripletLoss', reduction='sum'),
    ),
)
classifier = dict(
    type='ReIDNet',
    data_preprocessor=_preprocessor,
    backbone=dict(
        type='ResNeXt',
        depth=101,
        groups=32,
        base_width=48,
        out_indices=(3,),
        norm_eval=True,
        style='pytorch',
        init_cfg=dict(
            type='Pretrained',
            checkpoint='https://download.pytorch.org/models/ig_resnext101_32x48-3e41cc8a.pth',
        ),
    ),
    neck=dict(type='GlobalAveragePooling'),
    head=dict(type='CropClassHead', in_channels=2048, num_classes=41),  # 40, and false detections
)
del _preprocessor

segmenter = dict(
    type='DeepLabV3Plus',
    backbone=dict(
        type='GuidedResNet',
        depth=101,
        strides=(1, 2, 2, 1),
        dilations=(1, 1, 1, 2),
        out_indices=(0, 3),
        norm_cfg=dict(type='BN', requires_grad=False),
        norm_eval=True,
        style='pytorch',
        init_cfg=dict(type='Pretrained', checkpoint='torchvision://resnet101'),
    ),
    in_channels=2048,
    low_channels=256,
    channels=256,
    low_width=48,
    dilations=(6, 12, 18),
)
