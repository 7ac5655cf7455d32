"""YouTube-VIS 2021 with the settings of youtube_vis_2019.py.

As unpacked: train/instances.json, train/JPEGImages, valid/instances.json, valid/JPEGImages.
Before the first training (docs/data.md):
  maskprop split data/youtube_vis_2021/train/instances.json --val-videos 300 --seed 0 --out-dir data/youtube_vis_2021/annotations
"""

_base_ = './youtube_vis_2019.py'

data_root = 'data/youtube_vis_2021/'

train_dataloader = dict(dataset=dict(data_root=data_root, data_prefix=dict(img_path='train/JPEGImages')))
val_dataloader = dict(dataset=dict(data_root=data_root, data_prefix=dict(img_path='train/JPEGImages')))
test_dataloader = dict(
    dataset=dict(
        data_root=data_root, ann_file='valid/instances.json', data_prefix=dict(img_path='valid/JPEGImages')
    )
)

val_evaluator = dict(ann_file=data_root + 'annotations/mini_val.json')
test_evaluator = dict(
    ann_file=data_root + 'valid/instances.json',
)
