"""EnsembleVIS's detector for the synthetic set: the demo's small Mask R-CNN alone, minutes on two CPU cores.

Run, with the set in data/synthetic (docs/synthetic.md):
      maskprop train configs/ensemble_vis/ensemble_vis_detector_tiny_synthetic.py --auto-scale-lr

The first of four trainings; docs/methods/ensemble_vis.md has the order. Detections are those of single frames, linked
by boxes while it validates.
"""

_base_ = ['../demo/maskprop_tiny_synthetic.py']

model = dict(
    propagation_head=None,
    linker=dict(_delete_=True, type='BoxIoULinker', threshold=0.02, same_category=True),
    fill=False,
)
variants = dict(_delete_=True, box_iou=dict())
