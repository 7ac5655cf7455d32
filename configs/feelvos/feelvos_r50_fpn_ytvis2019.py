"""FEELVOS on a Mask R-CNN's detections, YouTube-VIS 2019 (26.9 mAP in Yang et al. and in MaskProp's Table 2).

Run:  maskprop train configs/feelvos/feelvos_r50_fpn_ytvis2019.py --auto-scale-lr \
          --cfg-options load_from=MASKTRACK_RCNN.pth
      bash tools/dist_train.sh configs/feelvos/feelvos_r50_fpn_ytvis2019.py 8 --auto-scale-lr \
          --cfg-options load_from=MASKTRACK_RCNN.pth
      maskprop test configs/feelvos/feelvos_r50_fpn_ytvis2019.py CHECKPOINT
Data: docs/data.md (data/youtube_vis_2019, split into mini-train and mini-val)

MASKTRACK_RCNN.pth is a checkpoint of configs/masktrack_rcnn/masktrack_rcnn_r50_fpn_12e_ytvis2019.py, whose detector
is frozen here. FEELVOS has a DeepLabv3+ of its own, with ResNet-50 in place of Xception-65. docs/methods/feelvos.md
"""

_base_ = ['../masktrack_rcnn/masktrack_rcnn_r50_fpn_12e_ytvis2019.py']

model = dict(
    frozen=('detector',),
    track_head=None,
    propagation_head=dict(
        type='FEELVOSHead',
        backbone=dict(
            type='ResNet',
            depth=50,
            strides=(1, 2, 1, 1),
            dilations=(1, 1, 2, 4),
            out_indices=(0, 3),
            norm_cfg=dict(type='BN', requires_grad=False),
            norm_eval=True,
            init_cfg=dict(type='Pretrained', checkpoint='torchvision://resnet50'),
        ),
        in_channels=2048,
        low_channels=256,
        channels=256,
        low_width=48,
        dilations=(12, 24, 36),
        embed_channels=100,
        head_channels=256,
        num_convs=4,
        radius=15,
    ),
    linker=dict(_delete_=True, type='PropagatedMaskLinker', output='propagated'),
    score_rule='majority',
    min_frames=1,
)
variants = dict(
    propagated=dict(),
    detected=dict(linker=dict(type='PropagatedMaskLinker', output='detected')),
    clips=dict(linker=dict(type='ClipLinker'), clip_radius=3, score_rule='with_category'),
)

# scales of 1 to 1.3, and a crop that every frame of 360 rows fills: padding would be background to learn
train_pipeline = [
    dict(type='SampleReferenceAndPair', step=1),
    dict(
        type='TransformBroadcaster',
        share_random_params=True,
        transforms=[
            dict(type='LoadImageFromFile', backend_args=_base_.backend_args),
            dict(type='LoadVideoAnnotations'),
            dict(
                type='RandomResize', scale=[(640, 360), (832, 468)], resize_type='mmdet.Resize', keep_ratio=True
            ),
            dict(type='RandomCrop', crop_size=(352, 352), allow_negative_crop=True, recompute_bbox=True),
            dict(type='RandomFlip', prob=0.5),
            dict(type='FilterVideoAnnotations'),
        ],
    ),
    dict(type='PackTrackInputs', default_meta_keys=_base_.meta_keys),
]
train_dataloader = dict(batch_size=2, dataset=dict(pipeline=train_pipeline))

# the released code's learning rate, for its sum over the 6 samples of each GPU: here the mean is taken
optim_wrapper = dict(
    _delete_=True,
    type='OptimWrapper',
    optimizer=dict(type='SGD', lr=6 * 7e-4, momentum=0.9, weight_decay=4e-5),
    clip_grad=dict(max_norm=5, norm_type=2),
)
param_scheduler = [dict(type='PolyLR', power=0.9, by_epoch=True, begin=0, end=12, convert_to_iter_based=True)]
auto_scale_lr = dict(base_batch_size=48)
