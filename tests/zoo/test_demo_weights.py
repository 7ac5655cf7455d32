"""The weights that the short demo begins with: small, of the config beside them, and they find what they should.

`make demo-weights` makes them anew; configs/demo/metafile.yml then names the new file.
"""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from safetensors.torch import load_file

import maskprop

maskprop.register_all()

from maskprop.apis import init_model  # noqa: E402
from maskprop.apis.variants import run_variants  # noqa: E402
from maskprop.datasets.synthetic.procedural import ProceduralClips  # noqa: E402
from maskprop.datasets.synthetic.scene import SceneSettings  # noqa: E402
from maskprop.datasets.synthetic.writer import write_set  # noqa: E402
from maskprop.engine.checks import build_annotated_test_set  # noqa: E402
from maskprop.engine.model_files import find_config_file, local_checkpoint  # noqa: E402
from maskprop.engine.published import read_config  # noqa: E402
from maskprop.engine.weights import fit_state_dict, shapes_of  # noqa: E402
from maskprop.evaluation import load_ground_truth, score_results  # noqa: E402
from maskprop.zoo import find_model  # noqa: E402
from maskprop.zoo.downloads import digest_of_name, file_digest  # noqa: E402

NAME = 'maskprop_mini_synthetic'
STRIDE = 4


@pytest.fixture(scope='module')
def weights() -> Path:
    return local_checkpoint(NAME)


def test_the_file_is_small_and_the_one_that_its_name_says(weights):
    assert weights.parent == find_model(NAME).config.parent
    assert weights.stat().st_size < 2e6
    assert file_digest(weights).startswith(digest_of_name(weights.name))
    assert file_digest(weights) in weights.with_suffix('.md').read_text()
    assert all(value.dtype == torch.float16 for value in load_file(weights).values() if value.ndim > 1)


def test_it_was_trained_by_the_config_beside_it(weights):
    # as it is written and read: lists for tuples, and the like
    config = Config(dict(Config.fromfile(find_model(NAME).config).items()))
    saved = Config(read_config(weights))
    for key in ('model', 'optim_wrapper', 'param_scheduler', 'train_cfg', 'train_dataloader', 'variants'):
        assert saved[key] == config[key], f'{key} was changed since: make demo-weights'


def test_the_training_of_eight_shapes_takes_all_that_does_not_depend_on_the_classes(weights):
    cfg = Config.fromfile(find_config_file('maskprop_mini_eight_shapes'))
    assert cfg.load_from == NAME
    meta = dict(classes=[str(number) for number in range(cfg.num_classes)])
    cfg.metainfo = meta
    cfg.load_from = None
    model = init_model(cfg, device='cpu')
    fit = fit_state_dict(load_file(weights), shapes_of(model.state_dict()))
    assert not fit.absent and not fit.dropped
    parts = {name.rpartition('.')[0].removeprefix('detector.roi_head.') for name, *_ in fit.reshaped}
    assert parts == {'bbox_head.fc_cls', 'mask_head.conv_logits'}


@pytest.mark.slow
def test_it_finds_the_objects_of_new_clips(weights, tmp_path):
    """Of another seed than that of training and demo; the demo's 40 clips give AP near 60."""
    source = ProceduralClips(SceneSettings(), seed=1, min_area=23)
    write_set(tmp_path, source, dict(val=4), workers=1)
    model = init_model(NAME, device='cpu')
    dataset_cfg = model.cfg.test_dataloader.dataset
    dataset_cfg.update(data_root=str(tmp_path), frame_stride=1)
    results = run_variants(model, build_annotated_test_set(model.cfg), dict(maskprop={}), [STRIDE])
    truth = load_ground_truth(tmp_path / 'annotations/val.json', STRIDE, (0.0, 1.0))
    assert score_results(truth, results['maskprop', STRIDE]).video_ap['AP'] > 0.45
