"""OSMN on a Mask R-CNN's detections, YouTube-VIS 2019 (27.5 mAP in MaskProp's Table 2: the row [TrackByDet]).

Run:  maskprop train configs/osmn/osmn_vgg16_ytvis2019.py --auto-scale-lr \
          --cfg-options load_from=MASKTRACK_RCNN.pth
      bash tools/dist_train.sh configs/osmn/osmn_vgg16_ytvis2019.py 4 --auto-scale-lr \
          --cfg-options load_from=MASKTRACK_RCNN.pth
      maskprop test configs/osmn/osmn_vgg16_ytvis2019.py CHECKPOINT
Data: docs/data.md (data/youtube_vis_2019, split into mini-train and mini-val)

MASKTRACK_RCNN.pth is a checkpoint of configs/masktrack_rcnn/masktrack_rcnn_r50_fpn_12e_ytvis2019.py, whose detector
is frozen here. 448x256 pixels and the learning rates are the released code's for YouTube-VOS. docs/methods/osmn.md
"""

_base_ = ['../masktrack_rcnn/masktrack_rcnn_r50_fpn_12e_ytvis2019.py']

model = dict(
    frozen=('detector',),
    track_head=None,
    propagation_head=dict(
        type='OSMNHead',
        widths=(64, 128, 256, 512, 512),
        fc_width=4096,
        guide_size=224,
        input_size=(256, 448),
        vgg='torchvision://vgg16',
        max_objects=1,
    ),
    linker=dict(_delete_=True, type='PropagatedMaskLinker', output='detected'),
    score_rule='majority',
    min_frames=1,
)
# [TrackByDet] and [MaskProp] of Yang et al. (27.5 and 23.4 there), and in place of the branch in MaskProp's clips
variants = dict(
    detected=dict(),
    propagated=dict(linker=dict(type='PropagatedMaskLinker', output='propagated')),
    clips=dict(linker=dict(type='ClipLinker'), clip_radius=3, score_rule='with_category'),
)

train_pipeline = [
    dict(type='SampleReferenceAndPair', step=1),
    dict(
        type='TransformBroadcaster',
        share_random_params=True,
        transforms=[
            dict(type='LoadImageFromFile', backend_args=_base_.backend_args),
            dict(type='LoadVideoAnnotations'),
            dict(type='Resize', scale=(448, 256), keep_ratio=False),
            dict(type='FilterVideoAnnotations'),
        ],
    ),
    dict(type='PackTrackInputs', default_meta_keys=_base_.meta_keys),
]
train_dataloader = dict(batch_size=1, dataset=dict(pipeline=train_pipeline))

optim_wrapper = dict(
    _delete_=True,
    type='OptimWrapper',
    optimizer=dict(type='Adam', lr=1e-5, weight_decay=2e-4),
    paramwise_cfg=dict(bias_decay_mult=0.0, norm_decay_mult=0.0),
)
max_epochs = 20  # 300k steps of 4 objects
train_cfg = dict(max_epochs=max_epochs)
param_scheduler = [dict(type='MultiStepLR', by_epoch=True, begin=0, end=max_epochs, milestones=[13], gamma=0.1)]
auto_scale_lr = dict(base_batch_size=4)
