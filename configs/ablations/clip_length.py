"""Length 2T+1 of the clips (Figure 6): test only, on the demo's model.

Run:  maskprop ablate configs/ablations/clip_length.py

The paper's figure has its best video AP at 13 frames, T = 6; only that point's value is in its text. Missed
frames are not filled, as there.
"""

_base_ = ['../demo/maskprop_tiny_synthetic.py']

study = dict(
    title='Clip length (Figure 6)',
    paper='MaskProp at 13 frames, the best length of Figure 6; its other points are not in the text',
    x_label='clip length 2T + 1 (frames)',
    frame_stride=2,
    rows=[
        dict(
            name=f'{2 * radius + 1} frames',
            x=2 * radius + 1,
            variant=dict(clip_radius=radius, fill=False),
            paper=dict(AP=46.6, AP75=51.2) if radius == 6 else dict(),
        )
        for radius in (6, 0, 1, 2, 3, 4, 8, 12)
    ],
)
