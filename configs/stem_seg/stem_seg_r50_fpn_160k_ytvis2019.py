"""STEm-Seg, ResNet-50-FPN, YouTube-VIS 2019, the published schedule (30.6 mAP in ObjProp's Table 2).

Run:  maskprop train configs/stem_seg/stem_seg_r50_fpn_160k_ytvis2019.py
      bash tools/dist_train.sh configs/stem_seg/stem_seg_r50_fpn_160k_ytvis2019.py 2 \\
          --cfg-options optim_wrapper.accumulative_counts=1
Data: docs/data.md (data/youtube_vis_2019, split into mini-train and mini-val)

160,000 steps of 2 clips of 8 frames, here as 40 epochs of 8,000 clips; SGD at .001, constant for 60,000 steps, then
down to a hundredth. One clip at a time on one GPU: the gradients of two are accumulated. What differs from the
published training, above all that it saw images of COCO and VOC too: docs/methods/stem_seg.md.
"""

_base_ = [
    '../_base_/models/stem_seg_r50_fpn.py',
    '../_base_/datasets/youtube_vis_2019.py',
    '../_base_/default_runtime.py',
]

model = dict(num_classes=_base_.num_classes)

resize = dict(type='Resize', scale=(1196, 640), keep_ratio=True)  # short side 640, long one 1196 at most
train_pipeline = [
    dict(type='SampleClip', offsets=(0, 1, 2, 3, 5, 6, 7, 8), with_objects=True),
    dict(
        type='TransformBroadcaster',
        share_random_params=True,
        transforms=[
            dict(type='LoadImageFromFile', backend_args=_base_.backend_args),
            dict(type='LoadVideoAnnotations'),
            resize,
            dict(type='FilterVideoAnnotations'),
        ],
    ),
    dict(type='PasteLoneObject'),
    dict(type='PackTrackInputs', default_meta_keys=_base_.meta_keys),
]
test_pipeline = [
    dict(
        type='TransformBroadcaster',
        transforms=[dict(type='LoadImageFromFile', backend_args=_base_.backend_args), resize],
    ),
    dict(type='PackTrackInputs', default_meta_keys=_base_.meta_keys),
]
train_dataloader = dict(batch_size=1, sampler=dict(samples_per_epoch=8000), dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = dict(dataset=dict(pipeline=test_pipeline))

train_cfg = dict(type='VideoTrainLoop', max_epochs=40, val_interval=5)
val_cfg = dict(type='VideoValLoop')
test_cfg = dict(type='VideoTestLoop')
optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='SGD', lr=0.001, momentum=0.9, nesterov=True, weight_decay=1e-4),
    accumulative_counts=2,
)
# 15 epochs are 60,000 steps; a hundredth after 25 more
param_scheduler = [dict(type='ExponentialLR', by_epoch=True, begin=15, end=41, gamma=0.01 ** (1 / 25))]
auto_scale_lr = dict(enable=False, base_batch_size=2)
