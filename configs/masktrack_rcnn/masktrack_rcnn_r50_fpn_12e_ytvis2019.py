"""MaskTrack R-CNN, ResNet-50-FPN, YouTube-VIS 2019, the reference's schedule (30.3 mAP in both papers).

Run:  maskprop train configs/masktrack_rcnn/masktrack_rcnn_r50_fpn_12e_ytvis2019.py --auto-scale-lr
      bash tools/dist_train.sh configs/masktrack_rcnn/masktrack_rcnn_r50_fpn_12e_ytvis2019.py 4 --auto-scale-lr
Data: docs/data.md (data/youtube_vis_2019, split into mini-train and mini-val)

640x360, flips, 12 epochs of SGD at .005 for 24 samples (ObjProp, "Training"). Validates by video AP on mini-val and
writes a submission for the validation set. How it is implemented: docs/methods/masktrack_rcnn.md.
"""

_base_ = [
    '../_base_/models/mask_track_rcnn_r50_fpn.py',
    '../_base_/datasets/youtube_vis_2019_360p.py',
    '../_base_/default_runtime.py',
]

model = dict(num_classes=_base_.num_classes)

train_dataloader = dict(batch_size=4)

train_cfg = dict(type='VideoTrainLoop', max_epochs=12, val_interval=1)
val_cfg = dict(type='VideoValLoop')
test_cfg = dict(type='VideoTestLoop')

optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='SGD', lr=0.005, momentum=0.9, weight_decay=1e-4),
    clip_grad=dict(max_norm=35, norm_type=2),
)
param_scheduler = [
    dict(type='LinearLR', start_factor=1 / 3, by_epoch=False, begin=0, end=500),
    dict(type='MultiStepLR', by_epoch=True, begin=0, end=12, milestones=[8, 11], gamma=0.1),
]
auto_scale_lr = dict(enable=False, base_batch_size=24)
