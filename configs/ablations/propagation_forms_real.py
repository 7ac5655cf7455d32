"""Forms of the propagation branch on real clips of several objects: linking true masks.

Run, with the set of configs/davis16/maskprop_tiny_davis16_pasted.py in data/davis16_pasted:
      maskprop ablate configs/ablations/propagation_forms_real.py

A detector from scratch on twelve videos is weak, and would hide what the forms do. So the masks to link are the
annotations, without filling, and AP says how well they are linked.
"""

_base_ = ['../davis16/maskprop_tiny_davis16_pasted.py']

model = dict(frozen=('detector',))

study = dict(
    title='Forms of the propagation branch on real clips: true masks, linked',
    note="The paper has 'instances, sum'.",
    detector='configs/ablations/_base_/real_detector.py',
    synthetic=None,
    frame_stride=2,
    rows=[
        dict(
            name=f'{normalizer}, {"matching" if channels else "sum"}',
            ground_truth=True,
            variant=dict(fill=False),
            train=dict(
                name=f'real_{normalizer.replace("+", "_")}_{"matching" if channels else "sum"}',
                options={
                    'model.propagation_head.normalizer': normalizer,
                    'model.propagation_head.match_channels': channels,
                },
            ),
        )
        for normalizer in ('instances+background', 'instances', 'sigmoid')
        for channels in (None, 16)
    ],
)
