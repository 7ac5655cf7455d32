"""SipMask-VIS, ResNet-50-FPN, YouTube-VIS 2019, 12 epochs, one scale (32.5 mAP in ObjProp's Table 2).

Run:  maskprop train configs/sipmask/sipmask_r50_fpn_12e_ytvis2019.py --auto-scale-lr --cfg-options load_from=START.pth
      bash tools/dist_train.sh configs/sipmask/sipmask_r50_fpn_12e_ytvis2019.py 4 --auto-scale-lr --cfg-options load_from=START.pth
Data: docs/data.md (data/youtube_vis_2019, split into mini-train and mini-val)

START.pth: the published SipMask of COCO, converted (docs/checkpoints.md); without it the backbone starts from ImageNet,
from which no number is known. 640x360, flips, SGD at .005 for 32 samples. How it is implemented: docs/methods/sipmask.md.
"""

_base_ = [
    '../_base_/models/sipmask_r50_fpn.py',
    '../_base_/datasets/youtube_vis_2019_360p.py',
    '../_base_/default_runtime.py',
]

model = dict(num_classes=_base_.num_classes)

train_pipeline = _base_.train_pipeline
train_pipeline[1]['transforms'].append(dict(type='EndBoxesAtLastPixel'))
train_dataloader = dict(batch_size=8, dataset=dict(pipeline=train_pipeline))

train_cfg = dict(type='VideoTrainLoop', max_epochs=12, val_interval=1)
val_cfg = dict(type='VideoValLoop')
test_cfg = dict(type='VideoTestLoop')

optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='SGD', lr=0.005, momentum=0.9, weight_decay=1e-4),
    # the reference tells norms by their name, which this one has not
    paramwise_cfg=dict(
        bias_lr_mult=2.0,
        bias_decay_mult=0.0,
        custom_keys={'feat_align.norm.bias': dict(lr_mult=2.0, decay_mult=0.0)},
    ),
)
param_scheduler = [
    dict(type='LinearLR', start_factor=1 / 80, by_epoch=False, begin=0, end=1000),
    dict(type='MultiStepLR', by_epoch=True, begin=0, end=12, milestones=[8, 11], gamma=0.1),
]
auto_scale_lr = dict(enable=False, base_batch_size=32)
