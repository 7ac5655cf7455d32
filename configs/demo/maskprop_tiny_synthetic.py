"""The long demo: MaskProp on a small Mask R-CNN, a synthetic set, from scratch, minutes on two CPU cores.

Run:  make demo-full  or, with the set in data/synthetic,
      maskprop train configs/demo/maskprop_tiny_synthetic.py --auto-scale-lr
      bash tools/dist_train.sh configs/demo/maskprop_tiny_synthetic.py 2
      maskprop test configs/demo/maskprop_tiny_synthetic.py work_dirs/maskprop_tiny_synthetic/epoch_8.pth
The learning rate is for 8 samples: two processes with 4 each, as make demo-full starts; --auto-scale-lr fits it to one process.

It keeps what measures best (docs/methods/maskprop.md), not what the paper says: a background logit, the mask as one
more propagated feature, copying as the initial propagation, detection losses on both frames of a pair, ids kept
within a category, filling.
"""

_base_ = [
    '../_base_/models/tiny_mask_rcnn.py',
    '../_base_/datasets/synthetic.py',
    '../_base_/default_runtime.py',
]

model = dict(
    num_classes=_base_.num_classes,
    propagation_head=dict(
        type='MaskPropagationHead',
        in_channels=32,
        channels=32,
        offset_channels=32,
        dilations=(1, 3, 6),
        feat_level=0,
        stride=4,
        normalizer='instances+background',
        mask_channel=True,
        copy_gain=8.0,
    ),
    detect_on='both',
    # surer detections than 0.1: fragments of an object would take its id
    detector=dict(test_cfg=dict(rcnn=dict(score_thr=0.3))),
    linker=dict(type='ClipLinker', threshold=0.002, recent=1, same_category=True),
    fill=True,
    score_rule='all',
)
# rows of the demo's table: what replaces MaskProp's parts, on the same detections; copies are better without filling
# (docs/ablations.md)
variants = dict(
    maskprop=dict(),
    box_iou=dict(linker=dict(type='BoxIoULinker', threshold=0.02, same_category=True), fill=False),
    copy=dict(
        propagator=dict(type='CopyPropagator'),
        clip_radius=3,
        linker=dict(type='ClipLinker', threshold=0.002, recent=1, same_category=True),
        fill=False,
    ),
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
auto_scale_lr = dict(enable=False, base_batch_size=8)
