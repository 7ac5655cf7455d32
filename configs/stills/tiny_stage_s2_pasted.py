"""Stage S2 of the study: all parts, on clips of objects cut out of stills and pasted, moving, onto other stills.

The clips are made by maskprop synthetic --from the set's own stills; the study does so.

Alone: maskprop train configs/stills/tiny_stage_s2_pasted.py
"""

_base_ = ['./tiny_stage_v.py']

iterations = 80
train_dataloader = dict(
    sampler=dict(samples_per_epoch=iterations * _base_.batch_size),
    dataset=dict(
        indices=None,
        ann_file='pasted/annotations/train.json',
        data_prefix=dict(img_path='pasted/JPEGImages'),
    ),
)
# the detector was trained by S1
optim_wrapper = dict(paramwise_cfg=dict(custom_keys={'detector': dict(lr_mult=0.1)}))
