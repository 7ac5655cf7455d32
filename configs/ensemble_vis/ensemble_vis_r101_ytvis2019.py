"""EnsembleVIS on YouTube-VIS 2019 (44.8 mAP in MaskProp's Table 2): trains the crop segmentation model, and tests all parts.

Run, after the three trainings before it (docs/methods/ensemble_vis.md):
      maskprop train configs/ensemble_vis/ensemble_vis_r101_ytvis2019.py --auto-scale-lr
      bash tools/dist_train.sh configs/ensemble_vis/ensemble_vis_r101_ytvis2019.py 4 --auto-scale-lr
      maskprop test configs/ensemble_vis/ensemble_vis_r101_ytvis2019.py CHECKPOINT
Data: docs/data.md (data/youtube_vis_2019, split into mini-train and mini-val)

Detector, ReID model and classifier are loaded and frozen; the checkpoint has all four. Flow is RAFT's, whose weights
torchvision downloads, in place of PWC-Net. Adam at 1e-5, 40 crops of objects a step, as PReMVOS; 83 pixels of margin
in 800 rows are its 50 in 480.
"""

_base_ = ['./ensemble_vis_detector_r101_ytvis2019.py', './_base_/nets_ytvis2019.py']

trained = {
    key: dict(type='Pretrained', checkpoint=f'work_dirs/ensemble_vis_{path}.pth')
    for key, path in dict(
        reid='reid_r50_ytvis2019/iter_39000', classifier='classifier_x101_32x48d_ytvis2019/epoch_4'
    ).items()
}
_base_.reid.update(init_cfg=trained['reid'])
_base_.classifier.update(init_cfg=trained['classifier'])
flow = dict(type='RAFTFlow', arch='raft_large')

model = dict(
    refinement_head=dict(
        type='BoxSegmentationHead', net=_base_.segmenter, patch_size=385, margin=83, max_instances=10
    ),
    classification_head=dict(
        type='CropClassificationHead',
        num_classes=None,
        net=_base_.classifier,
        crop_size=_base_.classifier_size,
        chunk=8,
        background=True,
    ),
    reid_head=dict(type='CropEmbeddingHead', net=_base_.reid, crop_size=_base_.reid_size),
    frozen=('detector', 'classification_head', 'reid_head'),
    linker=dict(_delete_=True, type='TrackletMergeLinker', masks='refinement_head', flow=flow),
    score_rule='all',
)
load_from = 'work_dirs/ensemble_vis_detector_r101_ytvis2019/epoch_12.pth'
# what each part brings, on the same detections
variants = dict(
    _delete_=True,
    ensemble_vis=dict(),
    own_classes=dict(classify=False),
    own_masks=dict(refine=False, linker=dict(type='TrackletMergeLinker', flow=flow)),
    tracklets=dict(linker=dict(type='TrackletMergeLinker', masks='refinement_head', embeddings=None, flow=flow)),
    letter=dict(linker=dict(type='TrackletMergeLinker', masks='refinement_head', letter=True, flow=flow)),
    box_iou=dict(linker=dict(type='BoxIoULinker', threshold=0.3, same_category=True), refine=False, classify=False),
)
del trained, flow

train_pipeline = _base_.train_pipeline
train_pipeline[1]['transforms'].insert(3, dict(type='RandomGamma', amount=0.05))
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))

optim_wrapper = dict(_delete_=True, type='OptimWrapper', optimizer=dict(type='Adam', lr=1e-5))
param_scheduler = [dict(type='ConstantLR', factor=1.0, by_epoch=True)]
auto_scale_lr = dict(base_batch_size=4)
