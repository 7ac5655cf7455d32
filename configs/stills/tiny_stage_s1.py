"""Stage S1 of the study: the detector, on one frame of every synthetic video as a still image.

The first of the trainings of configs/stills/study_tiny_synthetic.py.

Alone: maskprop train configs/stills/tiny_stage_s1.py
"""

_base_ = ['./tiny_stage_v.py']

model = dict(propagation_head=None, linker=dict(_delete_=True, type='BoxIoULinker'), fill=False)
variants = dict(_delete_=True)

iterations = 150
train_pipeline = [
    # the key frame alone
    dict(type='UniformRefFrameSample', num_ref_imgs=0, frame_range=0, filter_key_img=False),
    dict(type='TransformBroadcaster', transforms=[*_base_.load, *_base_.finish]),
    dict(type='PackTrackInputs'),
]
train_dataloader = dict(
    batch_size=8,  # as many frames as 4 frame pairs
    sampler=dict(samples_per_epoch=iterations * 8),
    # one frame from the middle of each video
    dataset=dict(indices=None, frame_range=(0.5, 0.501), pipeline=train_pipeline),
)
auto_scale_lr = dict(base_batch_size=8)
