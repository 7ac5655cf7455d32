"""Stage S2 of the study: all parts, on frame pairs made of a still image by one movement of the camera (VITA's).
Alone: maskprop train configs/stills/tiny_stage_s2_trajectory.py
"""

_base_ = ['./tiny_stage_s2_warps.py']

train_pipeline = [
    dict(type='SampleFramePair'),
    dict(type='TransformBroadcaster', transforms=_base_.load),
    # VITA's windows of 384 to 600 pixels, in images with a short side of 400 to 600, for one of 64
    dict(type='FrameTrajectory', short_sides=(64, 80, 96), window_sides=(61, 96)),
    dict(type='TransformBroadcaster', share_random_params=True, transforms=_base_.finish),
    dict(type='PackTrackInputs'),
]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
