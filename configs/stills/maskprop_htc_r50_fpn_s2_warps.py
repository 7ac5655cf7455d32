"""Stage S2: propagation and refinement on frame pairs made of still images by independent warps, a quarter of stage V.

Run, after S1:
      maskprop train configs/stills/maskprop_htc_r50_fpn_s2_warps.py --auto-scale-lr \
          --cfg-options load_from=work_dirs/maskprop_htc_r50_fpn_s1_coco/epoch_12.pth
Pasted clips instead (docs/stills.md): make them by maskprop synthetic --from, and take them as the videos of
configs/maskprop/maskprop_htc_r50_fpn_20e_ytvis2019.py.
"""

_base_ = [
    '../_base_/models/maskprop_htc_r50_fpn_stills.py',
    '../_base_/datasets/stills_ytvis2019.py',
    '../_base_/schedules/maskprop_20e.py',
    '../_base_/default_runtime.py',
]

# S1's weights come by load_from
model = dict(num_classes=_base_.num_classes, detector=dict(init_cfg=None))

stills = dict(pipeline=_base_.warps_pipeline, need_masks=True)
train_dataloader = dict(
    # as many samples per epoch as mini-train has frames, about
    sampler=dict(_delete_=True, type='MixedFrameSampler', parts=[_base_.balance], samples_per_epoch=55_000),
    dataset=dict(_delete_=True, **_base_.coco_stills, **stills),
)

max_epochs = 5
train_cfg = dict(max_epochs=max_epochs, val_interval=max_epochs)
param_scheduler = [
    dict(type='LinearLR', start_factor=1 / 3, by_epoch=False, begin=0, end=500),
    dict(type='MultiStepLR', by_epoch=True, begin=0, end=max_epochs, milestones=[4], gamma=0.1),
]
# the detector is S1's; model.frozen=('detector',) freezes it
optim_wrapper = dict(paramwise_cfg=dict(custom_keys={'detector': dict(lr_mult=0.1)}))
