"""Stage S2 of the study: all parts, on frame pairs made of a still image by two independent warps (SeqFormer's).
Alone: maskprop train configs/stills/tiny_stage_s2_warps.py
"""

_base_ = ['./tiny_stage_v.py']

iterations = 80
train_pipeline = [
    dict(type='SampleFramePair'),  # a still image is a video of one frame: twice the same
    dict(
        type='TransformBroadcaster',
        share_random_params=False,
        transforms=[
            *_base_.load,
            dict(type='RandomPerspectiveAffine'),
            dict(
                type='PhotoMetricDistortion',
                brightness_delta=40,
                contrast_range=(1.0, 1.0),
                saturation_range=(0.95, 1.05),
                hue_delta=5,
            ),
            dict(type='MotionBlur', kernel_sizes=(3, 5)),  # for frames of 96 pixels
        ],
    ),
    dict(type='TransformBroadcaster', share_random_params=True, transforms=_base_.finish),
    dict(type='PackTrackInputs'),
]
train_dataloader = dict(
    sampler=dict(samples_per_epoch=iterations * _base_.batch_size),
    dataset=dict(indices=None, frame_range=(0.5, 0.501), pipeline=train_pipeline),
)
# the detector was trained by S1
optim_wrapper = dict(paramwise_cfg=dict(custom_keys={'detector': dict(lr_mult=0.1)}))
