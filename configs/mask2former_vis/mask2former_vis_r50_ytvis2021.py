"""Mask2Former-VIS, ResNet-50, YouTube-VIS 2021 (published: 41.3 AP), 8,000 iterations of 16 samples as 8 epochs.

Run:  maskprop infer mask2former_vis_r50_ytvis2021 my_video.mp4 --out out
      maskprop train configs/mask2former_vis/mask2former_vis_r50_ytvis2021.py --auto-scale-lr
Data: docs/data.md (data/youtube_vis_2021, split into mini-train and mini-val)
"""

_base_ = './mask2former_vis_r50_ytvis2019.py'

data_root = 'data/youtube_vis_2021/'

train_dataloader = dict(sampler=dict(samples_per_epoch=16000), dataset=dict(data_root=data_root))
val_dataloader = dict(dataset=dict(data_root=data_root))
test_dataloader = dict(dataset=dict(data_root=data_root, ann_file='valid/instances.json'))

val_evaluator = dict(ann_file=data_root + 'annotations/mini_val.json')
test_evaluator = dict(ann_file=data_root + 'valid/instances.json')

# after 5,500 of 8,000 iterations
param_scheduler = [
    dict(type='MultiStepLR', by_epoch=True, milestones=[5.5], gamma=0.1, convert_to_iter_based=True)
]
