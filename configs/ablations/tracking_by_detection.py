"""MaskProp against tracking by detection (Table 2's DeepSORT): mmdet's trackers on the demo's detections.

Run:  maskprop ablate configs/ablations/tracking_by_detection.py

Only DeepSORT's appearance model is trained. No row adds masks in missed frames. What the trackers do:
docs/methods/tracking_by_detection.md.
"""

_base_ = ['../tracking_by_detection/trackers_tiny_synthetic.py']

net = 'configs/tracking_by_detection/reid_tiny_synthetic.py'
paper = dict(
    maskprop=dict(AP=46.6, AP75=51.2, AR1=44.0, AR10=52.6), deepsort=dict(AP=26.1, AP75=26.1, AR1=27.8, AR10=31.3)
)
_base_.variants.deepsort.linker.reid.init_cfg.checkpoint = '{reid}'  # that of the seed

study = dict(
    title='Tracking by detection (Table 2)',
    paper='MaskProp and DeepSORT of Table 2, which have different detectors there',
    rows=[
        dict(
            name=name,
            variant=dict(fill=False, **variant) if name == 'maskprop' else variant,
            nets=dict(reid=net) if name == 'deepsort' else {},
            paper=paper.get(name, {}),
        )
        for name, variant in _base_.variants.items()
    ],
)
del net, paper
