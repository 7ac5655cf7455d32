"""The study on the synthetic set: MaskTrack R-CNN, the same with ObjProp's filling, and MaskProp, on one detector.

Run, with the set in data/synthetic (docs/synthetic.md) and a detector trained on it:
      python tools/train.py configs/objprop/study_tiny_synthetic.py --cfg-options load_from=DETECTOR.pth
      python tools/compare_variants.py configs/objprop/study_tiny_synthetic.py CHECKPOINT

DETECTOR.pth is a checkpoint of a config with the same model.detector,
configs/masktrack_rcnn/masktrack_rcnn_tiny_synthetic.py or configs/demo/maskprop_tiny_synthetic.py. It is frozen,
and the three heads learn on it together. So all rows of the table have the same detections, at the same thresholds.
"""

_base_ = '../masktrack_rcnn/masktrack_rcnn_tiny_synthetic.py'

model = dict(
    frozen=('detector',),
    propagation_head=dict(
        _delete_=True,
        type='MaskPropagationHead',
        in_channels=32,
        channels=32,
        offset_channels=32,
        dilations=(1, 3, 6),
        feat_level=0,
        stride=4,
        normalizer='instances+background',
        mask_channel=True,
        copy_gain=8.0,
    ),
    attention_head=dict(
        type='InterFrameAttentionHead', num_classes=None, in_channels=32, num_levels=4, channels=32, stride=8
    ),
)
variants = dict(
    _delete_=True,
    mask_track=dict(),
    objprop=dict(history_fill=dict()),
    maskprop=dict(
        linker=dict(type='ClipLinker', threshold=0.02, recent=1, same_category=True), fill=True, score_rule='all'
    ),
)
