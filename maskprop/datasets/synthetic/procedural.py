"""One procedural clip from a seed: the function that the writer calls in its worker processes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from maskprop.datasets.synthetic.rendering import Clip, render_clip
from maskprop.datasets.synthetic.scene import SceneSettings, sample_scene
from maskprop.datasets.synthetic.shapes import CATEGORY_NAMES

SPLIT_NUMBERS = {'train': 0, 'val': 1}
ATTEMPTS = 50


@dataclass(frozen=True)
class ProceduralClips:
    """Makes clip `index` of a split; equal arguments give equal clips, in any process and any order.

    Args:
        settings: what the clips look like.
        seed: of the whole set. A clip depends on (seed, split, index) only: a larger set begins alike.
        min_area: pixels below which an object counts as absent.
    """

    settings: SceneSettings
    seed: int
    min_area: int

    def __call__(self, split: str, index: int) -> Clip:
        for attempt in range(ATTEMPTS):
            rng = np.random.default_rng([self.seed, SPLIT_NUMBERS[split], index, attempt])
            clip = render_clip(rng, sample_scene(rng, self.settings), self.settings, self.min_area)
            if clip.category_ids:
                return clip
        raise RuntimeError(
            f'{split} clip {index}: no visible object in {ATTEMPTS} attempts; raise `speed` or `radius`'
        )

    @property
    def categories(self) -> list[dict]:
        names = CATEGORY_NAMES[: self.settings.categories]
        return [{'id': i + 1, 'name': name, 'supercategory': 'shape'} for i, name in enumerate(names)]

    def describe(self) -> dict:
        return {'kind': 'procedural', 'seed': self.seed, 'min_area': self.min_area, **self.settings.as_json()}
