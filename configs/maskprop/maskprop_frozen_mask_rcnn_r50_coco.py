"""MaskProp's branch on mmdet's Mask R-CNN (COCO), which stays as it is: 80 classes, trained on YouTube-VIS's objects.

Run:  maskprop train configs/maskprop/maskprop_frozen_mask_rcnn_r50_coco.py --auto-scale-lr
      maskprop infer configs/maskprop/maskprop_frozen_mask_rcnn_r50_coco.py CHECKPOINT.pth \
          my_video.mp4 --out out
Data: docs/data.md (data/youtube_vis_2019); its classes don't matter, so any set in that format will do.

Before any training the branch copies masks: mmdet's own checkpoint as CHECKPOINT.pth works too.
Its cost, and heads on other public models: docs/training.md, "On a detector that stays as it is".
"""

_base_ = '../coco/mask_rcnn_r50_coco.py'

from mmengine.hub import get_config

coco = get_config('mmdet::mask_rcnn/mask-rcnn_r50_fpn_ms-poly-3x_coco.py', pretrained=True)
load_from = coco.model_path
del coco

model = dict(
    frozen=('detector',),
    propagation_head=dict(
        type='MaskPropagationHead',
        normalizer='instances+background',
        # it begins as a copier
        match_channels=32,
        mask_channel=True,
        copy_gain=8.0,
        # the detector has no masks of the training set's classes
        mask_source='ground_truth',
    ),
    propagator=None,
)
variants = dict(_delete_=True, maskprop=dict(), copy=dict(propagator=dict(type='CopyPropagator')))

train_dataloader = dict(
    dataset=dict(
        type='OtherClassesDataset',
        metainfo=_base_.metainfo,
        data_root='data/youtube_vis_2019/',
        ann_file='annotations/mini_train.json',
        data_prefix=dict(img_path='train/JPEGImages'),
    )
)
# there are no COCO annotations of these videos to validate on
val_dataloader = val_cfg = val_evaluator = None
# a third of the paper's schedule: the detector is done
train_cfg = dict(max_epochs=6, val_interval=1000)
param_scheduler = [
    dict(type='LinearLR', start_factor=1 / 3, by_epoch=False, begin=0, end=500),
    dict(type='MultiStepLR', by_epoch=True, begin=0, end=6, milestones=[4, 5], gamma=0.1),
]
