"""Still images with the classes of YouTube-VIS 2019 beside its videos; validation and test are those of the videos.

The files are written by maskprop stills (docs/stills.md). ``single_pipeline`` gives one frame, the others
make frame pairs. Numbers: SeqFormer's (warps) and VITA's (trajectory); sizes: those of the videos.
"""

_base_ = './youtube_vis_2019.py'

coco_stills = dict(
    type='YouTubeVISJsonDataset',
    data_root='data/',
    ann_file='stills/coco.json',
    data_prefix=dict(img_path='coco/train2017'),
)
open_images_stills = dict(
    type='YouTubeVISJsonDataset',
    data_root='data/',
    ann_file='stills/openimages.json',
    data_prefix=dict(img_path='openimages/train'),
)

load = [dict(type='LoadImageFromFile', backend_args=None), dict(type='LoadVideoAnnotations')]
warp = [
    dict(type='RandomPerspectiveAffine'),
    # brightness within 40, hue and saturation within 5 of 255
    dict(
        type='PhotoMetricDistortion',
        brightness_delta=40,
        contrast_range=(1.0, 1.0),
        saturation_range=(0.98, 1.02),
        hue_delta=5,
    ),
    dict(type='MotionBlur'),
]
finish = [
    dict(type='RandomResize', scale=[(1333, 400), (1333, 800)], resize_type='mmdet.Resize', keep_ratio=True),
    dict(type='RandomFlip', prob=0.5),
    dict(type='FilterVideoAnnotations'),
]
pack = dict(type='PackTrackInputs', default_meta_keys=_base_.meta_keys)

single_pipeline = [
    # the key frame alone
    dict(type='UniformRefFrameSample', num_ref_imgs=0, frame_range=0, filter_key_img=False),
    dict(type='TransformBroadcaster', transforms=[*load, *finish]),
    pack,
]
warps_pipeline = [
    dict(type='SampleFramePair'),  # a still image is a video of one frame: twice the same
    dict(type='TransformBroadcaster', share_random_params=False, transforms=[*load, *warp]),
    dict(type='TransformBroadcaster', share_random_params=True, transforms=finish),
    pack,
]
trajectory_pipeline = [
    dict(type='SampleFramePair'),
    dict(type='TransformBroadcaster', transforms=load),
    dict(type='FrameTrajectory'),
    dict(type='TransformBroadcaster', share_random_params=True, transforms=finish),
    pack,
]

# of a set of stills: a class in fewer than .1 % of the images comes more often, one in more than a tenth less
balance = dict(repeat_threshold=0.001, cap=0.1)
