"""What still images are worth: stage V on a tenth of the videos after S1 and S2, and on all videos.

Run:  maskprop ablate configs/stills/study_tiny_synthetic.py

Stills are the middle frames of all training videos. Every row has the same number of iterations of stage V.
"""

_base_ = ['./tiny_stage_v.py']

all_videos = {'train_dataloader.dataset.indices': None}
pairs = {
    name: dict(name=f's2_{name}', start='model', config=f'configs/stills/tiny_stage_s2_{name}.py')
    for name in ('warps', 'trajectory', 'pasted')
}
study = dict(
    title='Pre-training from still images: stage V on a tenth of the synthetic videos',
    detector='configs/stills/tiny_stage_s1.py',
    synthetic=dict(videos=100, val_videos=50, size='64x96', frames=24),
    # clips of 24 frames from single frames of the source videos: from stills
    pasted=dict(videos=100, size='64x96', frames=24, frame_range=(0.5, 0.501)),
    frame_stride=4,
    rows=[
        dict(name='from scratch', train=dict(name='v_scratch', start='scratch')),
        dict(name='S1', train=dict(name='v_s1', start='model')),
        dict(name='S1, S2 by warps', train=dict(name='v_s2_warps', after=pairs['warps'])),
        dict(name='S1, S2 by trajectory', train=dict(name='v_s2_trajectory', after=pairs['trajectory'])),
        dict(name='S1, S2 by pasting', train=dict(name='v_s2_pasted', after=pairs['pasted'])),
        dict(name='all videos, from scratch', train=dict(name='v_all', start='scratch', options=all_videos)),
        dict(name='all videos, S1', train=dict(name='v_all_s1', start='model', options=all_videos)),
    ],
)
del pairs, all_videos
