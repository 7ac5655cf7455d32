"""The paper's schedule (Section 4.4): 20 epochs, learning rate .008 for 64 samples, divided by 10 after epochs 16 and 19.

Not in the paper, chosen as HTC's: SGD with momentum .9, weight decay 1e-4, 500 iterations of linear warm-up;
gradients clipped at norm 35 as MaskTrack R-CNN does. ``--auto-scale-lr`` scales the learning rate to your batch size.
"""

train_cfg = dict(type='VideoTrainLoop', max_epochs=20, val_interval=1)
val_cfg = dict(type='VideoValLoop')
test_cfg = dict(type='VideoTestLoop')

optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='SGD', lr=0.008, momentum=0.9, weight_decay=1e-4),
    clip_grad=dict(max_norm=35, norm_type=2),
)
param_scheduler = [
    dict(type='LinearLR', start_factor=1 / 3, by_epoch=False, begin=0, end=500),
    dict(type='MultiStepLR', by_epoch=True, begin=0, end=20, milestones=[16, 19], gamma=0.1),
]
auto_scale_lr = dict(enable=False, base_batch_size=64)
