"""EnsembleVIS for the synthetic set: trains the crop segmentation model, the last of its four parts, and tests them all.

Run, after the three trainings before it (docs/methods/ensemble_vis.md):
      maskprop train configs/ensemble_vis/ensemble_vis_tiny_synthetic.py --auto-scale-lr
      maskprop test configs/ensemble_vis/ensemble_vis_tiny_synthetic.py CHECKPOINT
      maskprop compare-variants configs/ensemble_vis/ensemble_vis_tiny_synthetic.py CHECKPOINT \
          --frame-strides 1 4

The segmentation model alone is trained; detector, ReID model and classifier are loaded and frozen, and the checkpoint has all
four. Margins are those of the paper's frames, in shares of the height.
"""

_base_ = ['./ensemble_vis_detector_tiny_synthetic.py', './_base_/nets_tiny.py']

nets = 'work_dirs/ensemble_vis_{}_tiny_synthetic/iter_1000.pth'
trained = {key: dict(type='Pretrained', checkpoint=nets.format(key)) for key in ('reid', 'classifier')}

model = dict(
    refinement_head=dict(
        type='BoxSegmentationHead', net=_base_.segmenter, patch_size=128, margin=10, max_instances=16
    ),
    classification_head=dict(
        type='CropClassificationHead',
        num_classes=None,
        net=dict(init_cfg=trained['classifier'], **_base_.classifier),
        crop_size=_base_.crop_size,
        background=True,
    ),
    reid_head=dict(
        type='CropEmbeddingHead', net=dict(init_cfg=trained['reid'], **_base_.reid), crop_size=_base_.crop_size
    ),
    frozen=('detector', 'classification_head', 'reid_head'),
    linker=dict(_delete_=True, type='TrackletMergeLinker', masks='refinement_head', same_category=True),
    score_rule='all',
)
load_from = 'work_dirs/ensemble_vis_detector_tiny_synthetic/epoch_8.pth'
# what each part brings, on the same detections
variants = dict(
    _delete_=True,
    ensemble_vis=dict(),
    own_classes=dict(classify=False),
    own_masks=dict(refine=False, linker=dict(type='TrackletMergeLinker', same_category=True)),
    tracklets=dict(linker=dict(type='TrackletMergeLinker', masks='refinement_head', embeddings=None)),
    letter=dict(linker=dict(type='TrackletMergeLinker', masks='refinement_head', letter=True)),
    box_iou=dict(
        linker=dict(type='BoxIoULinker', threshold=0.02, same_category=True), refine=False, classify=False
    ),
)
del nets, trained

max_epochs = 2
train_cfg = dict(max_epochs=max_epochs, val_interval=max_epochs)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.02, by_epoch=False, begin=0, end=50),
    dict(type='CosineAnnealingLR', by_epoch=True, T_max=max_epochs, convert_to_iter_based=True),
]
