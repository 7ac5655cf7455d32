"""Threshold on q of Eq. 5, above which a track takes an id; the paper names none. Test only, on the demo's model.

Run:  maskprop ablate configs/ablations/linking_threshold.py
"""

_base_ = ['../demo/maskprop_tiny_synthetic.py']

study = dict(
    title='Linking threshold (Section 4.3)',
    x_label='threshold on q',
    rows=[
        dict(
            name=f'{threshold}',
            x=threshold,
            variant=dict(linker=dict(type='ClipLinker', threshold=threshold, recent=1, same_category=True)),
        )
        for threshold in (0.002, 0.0005, 0.005, 0.02, 0.1, 0.3)
    ],
)
