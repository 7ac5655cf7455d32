"""Ids blind to categories, as in the paper, against ids within a category: test only, on the demo's model.

Run:  python tools/compare_variants.py configs/ablations/linking_category.py work_dirs/demo/train/epoch_8.pth \
          --frame-strides 4
"""

_base_ = ['../demo/maskprop_tiny_synthetic.py']

variants = dict(
    _delete_=True,
    maskprop=dict(),
    box_iou=dict(linker=dict(type='BoxIoULinker', threshold=0.02, same_category=True), fill=False),
    maskprop_blind=dict(linker=dict(type='ClipLinker', threshold=0.02, recent=1)),
    box_iou_blind=dict(linker=dict(type='BoxIoULinker', threshold=0.02), fill=False),
)
