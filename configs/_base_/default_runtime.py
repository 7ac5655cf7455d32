"""Logging, checkpoints, random states and the process environment; shared by every config."""

custom_imports = dict(imports=['maskprop.registration'], allow_failed_imports=False)
default_scope = 'mmdet'

default_hooks = dict(
    timer=dict(type='IterTimerHook'),
    logger=dict(type='LoggerHook', interval=50),
    param_scheduler=dict(type='ParamSchedulerHook'),
    # the last two, and the best by video AP: best_AP_epoch_N.pth
    checkpoint=dict(
        type='SafeCheckpointHook', by_epoch=True, interval=1, max_keep_ckpts=2, save_best='AP', rule='greater'
    ),
    sampler_seed=dict(type='DistSamplerSeedHook'),
    random_state=dict(type='RandomStateHook'),
    sync_buffers=dict(type='SyncBuffersHook'),  # statistics of batch norm: the mean of all processes'
)
custom_hooks = [dict(type='CheckInvalidLossHook', interval=50)]

env_cfg = dict(
    cudnn_benchmark=False, mp_cfg=dict(mp_start_method='fork', opencv_num_threads=0), dist_cfg=dict(backend='nccl')
)
vis_backends = [dict(type='LocalVisBackend')]
visualizer = dict(type='Visualizer', vis_backends=vis_backends, name='visualizer')
visualization = dict(min_score=0.3, max_videos=None)  # of maskprop test --show-dir
log_processor = dict(type='LogProcessor', window_size=50, by_epoch=True)
log_level = 'INFO'
work_dir = 'work_dirs/runner'  # of mmengine's Runner alone; the tools take work_dirs/CONFIG_NAME
load_from = None
resume = False
