"""Mask2Former-VIS on the demo's backbone and synthetic set, from scratch, minutes on two CPU cores.

Run, with the set in data/synthetic (docs/synthetic.md):
      maskprop train configs/mask2former_vis/mask2former_vis_tiny_synthetic.py --auto-scale-lr
      maskprop test configs/mask2former_vis/mask2former_vis_tiny_synthetic.py CHECKPOINT

64 channels, 20 queries, one layer of the pixel decoder and three of the transformer; frame pairs of 160x96.
"""

_base_ = [
    '../_base_/models/tiny_mask_rcnn.py',
    '../_base_/datasets/synthetic.py',
    '../_base_/default_runtime.py',
]

from mmengine.hub import get_config

published = get_config('mmdet::mask2former_vis/mask2former_r50_8xb2-8e_youtubevis2019.py').model
head = published.track_head
head.update(
    in_channels=[16, 32, 64, 128],
    feat_channels=64,
    out_channels=64,
    num_queries=20,
    num_classes=None,
)
head.loss_cls.class_weight = None
head.pixel_decoder.type = 'FramePixelDecoder'
head.pixel_decoder.encoder.num_layers = 1
head.pixel_decoder.encoder.layer_cfg.self_attn_cfg.update(embed_dims=64, num_heads=4)
head.pixel_decoder.encoder.layer_cfg.ffn_cfg.update(embed_dims=64, feedforward_channels=128)
head.pixel_decoder.norm_cfg.num_groups = 8
head.pixel_decoder.positional_encoding.num_feats = 32
head.positional_encoding.num_feats = 32
head.transformer_decoder.num_layers = 3
for part in ('self_attn_cfg', 'cross_attn_cfg'):
    head.transformer_decoder.layer_cfg[part].update(embed_dims=64, num_heads=4)
head.transformer_decoder.layer_cfg.ffn_cfg.update(embed_dims=64, feedforward_channels=128)
head.train_cfg.num_points = 1024

model = dict(
    _delete_=True,
    type='Mask2FormerVIS',
    num_classes=_base_.num_classes,
    data_preprocessor=_base_.model.data_preprocessor,
    backbone=_base_.model.detector.backbone,
    track_head=head,
    clip_radius=3,
    linker=dict(type='ClipLinker', threshold=0.3),
)
del published, head, part

max_epochs = 8
train_cfg = dict(type='VideoTrainLoop', max_epochs=max_epochs, val_interval=max_epochs)
val_cfg = dict(type='VideoValLoop')
test_cfg = dict(type='VideoTestLoop')
optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='AdamW', lr=1e-3, weight_decay=0.05, fused=True),
    paramwise_cfg=dict(norm_decay_mult=0.0, bias_decay_mult=0.0),
    clip_grad=dict(max_norm=1, norm_type=2),
)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.02, by_epoch=False, begin=0, end=100),
    dict(type='CosineAnnealingLR', by_epoch=True, T_max=max_epochs, convert_to_iter_based=True),
]
auto_scale_lr = dict(enable=False, base_batch_size=4)
