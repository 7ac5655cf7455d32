"""EnsembleVIS's crop classifier for the synthetic set: a small ResNet-18, minutes on two CPU cores.

Run, with the set in data/synthetic (docs/synthetic.md):
      maskprop train configs/ensemble_vis/ensemble_vis_classifier_tiny_synthetic.py
      maskprop test configs/ensemble_vis/ensemble_vis_classifier_tiny_synthetic.py CHECKPOINT

Crops as the ReID model's; one class more than the set has is that of false detections. docs/methods/ensemble_vis.md
"""

_base_ = ['./ensemble_vis_reid_tiny_synthetic.py']

model = dict(_delete_=True, **_base_.classifier)

train_pipeline = [*_base_.train_pipeline[0]['transforms'], dict(type='PackReIDInputs', meta_keys=())]
train_dataloader = dict(
    batch_size=32,
    dataset=dict(label='category', background=True, triplet_sampler=None, pipeline=train_pipeline),
)
val_dataloader = dict(dataset=dict(label='category', background=True))
test_dataloader = val_dataloader
val_evaluator = dict(_delete_=True, type='CropAccuracy')
test_evaluator = val_evaluator
