"""STEm-Seg on the demo's backbone and synthetic set, from scratch, minutes on two CPU cores.

Run, with the set in data/synthetic (docs/synthetic.md):
      maskprop train configs/stem_seg/stem_seg_tiny_synthetic.py --auto-scale-lr
      maskprop test configs/stem_seg/stem_seg_tiny_synthetic.py CHECKPOINT

Clips of 8 frames at the test's stride of 4, decoders of 32 and 16 channels. Images of 160 x 96 pixels are the
smallest that a decoder takes: three cells at stride 32.
"""

_base_ = [
    '../_base_/models/tiny_mask_rcnn.py',
    '../_base_/datasets/synthetic.py',
    '../_base_/default_runtime.py',
]

model = dict(
    _delete_=True,
    type='StemSeg',
    num_classes=_base_.num_classes,
    data_preprocessor=_base_.model.data_preprocessor,
    backbone=_base_.model.detector.backbone,
    neck=dict(**_base_.model.detector.neck, upsample_cfg=dict(mode='bilinear', align_corners=False)),
    embedding_head=dict(type='ClipEmbeddingDecoder', in_channels=32, channels=(32, 32, 16, 16), norm_groups=4),
    class_head=dict(
        type='ClipClassDecoder', in_channels=32, channels=(32, 32, 16, 16), norm_groups=4, num_classes=None
    ),
)

train_pipeline = [
    dict(type='SampleClip', offsets=(0, 1, 2, 3, 4, 5, 6, 7)),
    dict(
        type='TransformBroadcaster',
        share_random_params=True,
        transforms=[
            dict(type='LoadImageFromFile'),
            dict(type='LoadVideoAnnotations'),
            dict(type='Resize', scale=(160, 96), keep_ratio=True),
            dict(type='RandomFlip', prob=0.5),
            dict(type='FilterVideoAnnotations', min_mask_area=8),
        ],
    ),
    dict(type='PackTrackInputs'),
]
train_dataloader = dict(
    batch_size=2,
    sampler=dict(samples_per_epoch=320),
    dataset=dict(frame_stride=_base_.frame_stride, pipeline=train_pipeline),
)

max_epochs = 8
train_cfg = dict(type='VideoTrainLoop', max_epochs=max_epochs, val_interval=max_epochs)
val_cfg = dict(type='VideoValLoop')
test_cfg = dict(type='VideoTestLoop')
optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='AdamW', lr=2e-3, weight_decay=0.05, fused=True),
    paramwise_cfg=dict(norm_decay_mult=0.0, bias_decay_mult=0.0),
    clip_grad=dict(max_norm=10, norm_type=2),
)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.02, by_epoch=False, begin=0, end=50),
    dict(type='CosineAnnealingLR', by_epoch=True, T_max=max_epochs, convert_to_iter_based=True),
]
auto_scale_lr = dict(enable=False, base_batch_size=2)
