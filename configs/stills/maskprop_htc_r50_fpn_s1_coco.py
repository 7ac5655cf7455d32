"""Stage S1: the detector on COCO images with the 40 classes of YouTube-VIS 2019, of which 19 are there.

Run:  maskprop train configs/stills/maskprop_htc_r50_fpn_s1_coco.py --auto-scale-lr
Data, and what is published and what is a proposal here: docs/stills.md. It starts from HTC's COCO weights; S0,
OpenImages' backbone, FPN and RPN instead:
      --cfg-options model.detector.init_cfg.checkpoint=FASTER_RCNN_OPENIMAGES.pth
"""

_base_ = [
    '../_base_/models/maskprop_htc_r50_fpn_stills.py',
    '../_base_/datasets/stills_ytvis2019.py',
    '../_base_/default_runtime.py',
]

model = dict(
    num_classes=_base_.num_classes,
    # heads on frame pairs come with S2; validation links boxes
    propagation_head=None,
    refinement_head=None,
    linker=dict(_delete_=True, type='BoxIoULinker'),
)

train_dataloader = dict(
    batch_size=2,
    # an epoch of 7,500 steps of 16 images
    sampler=dict(_delete_=True, type='MixedFrameSampler', parts=[_base_.balance], samples_per_epoch=120_000),
    dataset=dict(_delete_=True, **_base_.coco_stills, pipeline=_base_.single_pipeline),
)

max_epochs = 12
train_cfg = dict(type='VideoTrainLoop', max_epochs=max_epochs, val_interval=max_epochs)
val_cfg = dict(type='VideoValLoop')
test_cfg = dict(type='VideoTestLoop')
optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='SGD', lr=0.02, momentum=0.9, weight_decay=1e-4),
    clip_grad=dict(max_norm=35, norm_type=2),
)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.001, by_epoch=False, begin=0, end=500),
    dict(type='MultiStepLR', by_epoch=True, begin=0, end=max_epochs, milestones=[8, 11], gamma=0.1),
]
auto_scale_lr = dict(enable=False, base_batch_size=16)
