"""The whole MaskProp, STSN on a deformable ResNeXt-101-64x4d, YouTube-VIS 2019 (Table 4: 46.6 mAP, 51.2 AP75).

Run:  maskprop train configs/maskprop/maskprop_htc_stsn_x101_fpn_20e_ytvis2019.py --auto-scale-lr
      bash tools/dist_train.sh configs/maskprop/maskprop_htc_stsn_x101_fpn_20e_ytvis2019.py 8 --auto-scale-lr
Data: docs/data.md (data/youtube_vis_2019, split into mini-train and mini-val)

The rest is as with ResNet-50. How STSN is read: docs/models.md.
"""

_base_ = ['./maskprop_htc_r50_fpn_20e_ytvis2019.py', '../_base_/models/stsn_x101_fpn.py']

model = _base_.stsn

# [t, t + delta, a frame before t and one after it, the same for t + delta]
train_pipeline = _base_.train_pipeline
train_pipeline[0].num_support = 2
train_pipeline[0].max_support_gap = 3
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
