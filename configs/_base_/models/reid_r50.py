"""mmdet's appearance model of DeepSORT, a ResNet-50 on crops of 256 x 128, with its published weights.

The weights are of pedestrians (MOT17); without network access the error says where to put them.
"""

crop_size = (256, 128)  # height, width
reid = dict(
    type='ReIDNet',
    data_preprocessor=dict(
        type='CropPreprocessor', mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375], bgr_to_rgb=True
    ),
    backbone=dict(type='ResNet', depth=50, out_indices=(3,), style='pytorch'),
    neck=dict(type='GlobalAveragePooling', kernel_size=(8, 4), stride=1),
    head=dict(type='ReIDHead', in_channels=2048, fc_channels=1024, out_channels=128, norm_cfg=dict(type='BN1d')),
    init_cfg=dict(
        type='Pretrained',
        checkpoint='https://mmassets.onedl.ai/mmtracking/mot/reid/tracktor_reid_r50_iter25245-a452f51f.pth',
    ),
)
