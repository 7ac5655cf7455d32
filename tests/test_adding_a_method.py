"""docs/adding_a_method.md: the method that it prints trains and tests in a folder outside of the package."""

from __future__ import annotations

import importlib
import json
import re
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

import maskprop

maskprop.register_all()

from mmdet.registry import MODELS, TASK_UTILS  # noqa: E402

from maskprop import apis  # noqa: E402
from maskprop.apis.variants import run_variants  # noqa: E402
from maskprop.apis.views import load_views  # noqa: E402
from maskprop.engine.checks import build_dataset  # noqa: E402
from maskprop.engine.config import read_config_file  # noqa: E402
from maskprop.structures import ClipTracks, Detections, takes_many  # noqa: E402
from tests.engine.tiny_config import quick_runs  # noqa: E402
from tests.helpers import write_tiny_ytvis  # noqa: E402
from tests.models.builders import make_batch, view_of  # noqa: E402

ROOT = Path(__file__).parents[1]
PAGE = ROOT / 'docs' / 'adding_a_method.md'
FILE = re.compile(r'^```python\n(# (my_method/\w+\.py)\n.*?)^```$', re.DOTALL | re.MULTILINE)
BATCHED = re.compile(r'^```python\n([^`]*class BatchedColourHead.*?)^```$', re.DOTALL | re.MULTILINE)
LINKER_FILE = re.compile(FILE.pattern.replace('my_method', 'my_linker'), FILE.flags)


@pytest.fixture(scope='module')
def folder(tmp_path_factory) -> Path:
    """What the page prints, beside the configs and on the path; nothing stays in the registries afterwards."""
    root = tmp_path_factory.mktemp('checkout')
    (root / 'my_method').mkdir()
    (root / 'configs').symlink_to(ROOT / 'configs')
    for source, name in FILE.findall(PAGE.read_text(encoding='utf-8')):
        (root / name).write_text(source, encoding='utf-8')
    registered = [(registry, dict(registry._module_dict)) for registry in (MODELS, TASK_UTILS)]
    sys.path.insert(0, str(root))
    try:
        yield root / 'my_method'
    finally:
        sys.path.remove(str(root))
        for name in [name for name in sys.modules if name.split('.')[0] == 'my_method']:
            del sys.modules[name]
        for registry, before in registered:
            registry._module_dict.clear()
            registry._module_dict.update(before)


@pytest.fixture(scope='module')
def options(tmp_path_factory) -> dict[str, Any]:
    """``--cfg-options`` for a set of a few small videos and a training of seconds."""
    root = write_tiny_ytvis(tmp_path_factory.mktemp('set'), videos=4)
    options: dict[str, Any] = {
        'train_dataloader.sampler.samples_per_epoch': 80,
        'train_cfg.max_epochs': 1,
        'train_cfg.val_interval': 9,
        'default_hooks.logger.interval': 1,
        'log_processor.window_size': 1,
        'param_scheduler': [],
        'model.detector.test_cfg.rcnn.score_thr': 0.0,
        'model.clip_radius': 2,
        'randomness.seed': 0,
        'log_level': 'WARNING',
    }
    for split in ('train', 'val', 'test'):
        options |= {
            f'{split}_dataloader.num_workers': 0,
            f'{split}_dataloader.persistent_workers': False,
            f'{split}_dataloader.dataset.data_root': f'{root}/',
            f'{split}_dataloader.dataset.data_prefix.img_path': f'{split}/JPEGImages'.replace('test', 'val'),
        }
    for split in ('val', 'test'):
        options |= {
            f'{split}_dataloader.dataset.frame_stride': 1,
            f'{split}_evaluator.frame_stride': 1,
            f'{split}_evaluator.ann_file': f'{root}/annotations/val.json',
        }
    return options


@pytest.fixture(scope='module')
def trained(folder, options, tmp_path_factory) -> SimpleNamespace:
    """A short training of the page's config: ``runner``, ``config``, ``checkpoint``."""
    config, work_dir = folder / 'my_method_tiny_synthetic.py', tmp_path_factory.mktemp('work')
    with quick_runs():
        runner = apis.train(config, work_dir=work_dir, cfg_options=options)
    return SimpleNamespace(runner=runner, config=config, checkpoint=work_dir / 'epoch_1.pth', work_dir=work_dir)


@pytest.fixture(scope='module')
def model(folder, options) -> torch.nn.Module:
    """Of random weights: what is tested of it does not depend on them."""
    return apis.init_model(folder / 'my_method_tiny_synthetic.py', device='cpu', cfg_options=options)


@pytest.fixture(scope='module')
def dataset(model) -> Any:
    return build_dataset(model.cfg, 'test')


@pytest.fixture
def heads(folder):
    return importlib.import_module('my_method.heads')


@pytest.fixture
def linkers(folder):
    return importlib.import_module('my_method.linkers')


def test_page_prints_the_whole_folder(folder):
    names = {path.name for path in folder.glob('*.py')}
    assert names == {'__init__.py', 'heads.py', 'linkers.py', 'my_method_tiny_synthetic.py'}
    assert not (ROOT / 'my_method').exists() and not (ROOT / 'maskprop' / 'methods' / 'my_method').exists()


def test_linker_alone_as_printed(tmp_path, monkeypatch):
    """Its own test passes, and its config names it in a row of ``variants``."""
    registered = dict(TASK_UTILS._module_dict)
    (tmp_path / 'my_linker').mkdir()
    (tmp_path / 'configs').symlink_to(ROOT / 'configs')
    for source, name in LINKER_FILE.findall(PAGE.read_text(encoding='utf-8')):
        (tmp_path / name).write_text(source, encoding='utf-8')
    monkeypatch.syspath_prepend(str(tmp_path))
    try:
        importlib.import_module('my_linker.test_centre').test_ids_follow_the_centres()
        cfg = read_config_file(tmp_path / 'my_linker' / 'centre_mini_synthetic.py')
        assert list(cfg.variants) == ['maskprop', 'box_iou', 'copy', 'centre']
        assert TASK_UTILS.build(cfg.variants.centre.linker).distance == 20
    finally:
        for name in [name for name in sys.modules if name.split('.')[0] == 'my_linker']:
            del sys.modules[name]
        TASK_UTILS._module_dict.clear()
        TASK_UTILS._module_dict.update(registered)


@pytest.mark.slow
def test_training_lowers_the_heads_loss(trained, folder):
    head = trained.runner.model.propagation_head
    assert Path(sys.modules[type(head).__module__].__file__).parent == folder
    losses = [float(loss) for loss in trained.runner.message_hub.get_scalar('train/loss_match').data[0]]
    start, end = (sum(part) / len(part) for part in (losses[:5], losses[-5:]))
    assert end < 0.8 * start, losses


@pytest.mark.slow
@pytest.mark.parametrize('ids', [([1, 2], [2, 1]), ([1, 2], [3]), ([], [])])
def test_loss_reaches_every_parameter(trained, ids):
    """Also of a pair that shares no object, and of one without any."""
    model = trained.runner.model
    model.zero_grad()
    loss = model.loss(*make_batch(ids))['loss_match']
    loss.backward()
    parameters = dict(model.propagation_head.named_parameters())
    assert parameters
    for name, parameter in parameters.items():
        assert parameter.grad is not None, f'{name} has no gradient'
        assert parameter.grad.isfinite().all()
        assert bool(parameter.grad.any()) == (loss.item() > 0), name
    assert (loss.item() > 0) == (ids[0] == [1, 2] and ids[1] == [2, 1])


@pytest.mark.slow
def test_results_have_the_linkers_ids(trained, options, linkers, monkeypatch):
    given, link = set(), linkers.LatestTrackLinker.link

    def watched(self, clip):
        ids = link(self, clip)
        given.update(ids)
        return ids

    monkeypatch.setattr(linkers.LatestTrackLinker, 'link', watched)
    out = trained.work_dir / 'results.json'
    with quick_runs():
        metrics = apis.test(
            trained.config, trained.checkpoint, work_dir=trained.work_dir, cfg_options=options, out=out
        )
    results = json.loads(out.read_text())
    assert given and {result['track_id'] for result in results} == given
    assert {result['video_id'] for result in results} == {1, 2, 3, 4}
    assert 'AP' in metrics


@pytest.mark.slow
def test_variants_run_on_the_same_detections(model, dataset):
    """On the annotations. Where weights do not matter (ids by colour, by copies): one track for each object."""
    rows = run_variants(model, dataset, model.cfg.variants, ground_truth=True)
    assert {name for name, _ in rows} == {'matching', 'colour', 'copy'}
    frames = [frame for video in range(len(dataset)) for frame in images(dataset, video)]
    truth = [instance['instance_id'] for frame in frames for instance in frame['instances']]
    for (name, _), results in rows.items():
        masks = [mask for result in results for mask in result['segmentations'] if mask is not None]
        assert len(masks) == len(truth) if name == 'colour' else len(masks) >= len(truth), name
        assert name == 'matching' or len(results) == len(set(truth)), name
        assert {result['video_id'] for result in results} == {1, 2, 3, 4}, name


def images(dataset: Any, video: int) -> list[dict]:
    return dataset.get_data_info(video)['images']


def test_head_of_several_frames_as_printed(model, dataset):
    """It gives what the head of one frame gives; a subclass with another ``encode`` is asked frame by frame."""
    printed: dict[str, Any] = {}
    exec(
        BATCHED.search(PAGE.read_text(encoding='utf-8'))[1], printed
    )  # registers the class, which the fixture takes out again
    head = printed['BatchedColourHead']()
    views = [view for _, view in load_views(model, dataset, 1, range(3))]
    boxes = [torch.tensor([[2.0, 3, 30, 20]]), torch.zeros(0, 4), torch.tensor([[5.0, 1, 9, 9], [0, 0, 40, 30]])]
    found = [Detections(b, torch.ones(len(b)), torch.zeros(len(b)).long(), None) for b in boxes]
    batch = head.encode_batch((), views, found)
    for code, view, instances in zip(batch, views, found, strict=True):
        torch.testing.assert_close(code.values, head.encode(view, instances).values)
    assert takes_many(head, 'encode', 'encode_batch')
    changed = type('Changed', (type(head),), dict(encode=lambda *_: None))()
    assert not takes_many(changed, 'encode', 'encode_batch')


def test_codes_and_propagated_masks(model, dataset):
    views = [view for _, view in load_views(model, dataset, 1, range(3))]
    instances = images(dataset, 1)[0]['instances']
    frames = [model.encode(view, instances=instances) for view in views]
    height, width = (side // model.propagation_head.stride for side in views[0].shape)
    assert frames[0].codes['propagation_head'].shape == (16, height, width)
    assert frames[0].codes['colour_head'].values.shape == (2, 3)
    masks = model.propagator.propagate(frames[0], frames)
    assert masks.shape == (3, 2, height, width)
    assert 0 <= masks.min() and masks.max() <= 1 + 1e-5
    assert model.propagator.propagate(frames[0].select([]), frames).shape == (3, 0, height, width)


def test_a_still_video(model, dataset):
    """Where cells differ from each other and frames do not, masks stay as they are, and objects keep their ids."""
    (_, view) = next(load_views(model, dataset, 1, [0]))
    frame = model.encode(view, instances=images(dataset, 1)[0]['instances'])
    code = torch.randn(64, *frame.masks.shape[1:], generator=torch.Generator().manual_seed(0))
    frame.codes['propagation_head'] = torch.nn.functional.normalize(code, dim=0)
    masks = model.propagator.propagate(frame, [frame] * 3)
    torch.testing.assert_close(masks, frame.masks.expand(3, -1, -1, -1), atol=0.02, rtol=0)
    stream = model.start_video()
    results = [result for _ in range(6) for result in stream.push(frame)] + stream.finish()
    assert [result.ids for result in results] == [[1, 2]] * 6


def test_carried_masks_equal_the_written_form(heads):
    """The definition, cell by cell; where no two cells are alike, masks move as the embeddings do."""
    generator = torch.Generator().manual_seed(0)
    source, target = torch.nn.functional.normalize(torch.randn(2, 32, 5, 7, generator=generator), dim=1)
    masks = torch.rand(3, 5, 7, generator=generator)
    carried = heads.carry_masks(source, target, masks, 2)
    expected = torch.zeros_like(masks)
    for y in range(5):
        for x in range(7):
            rows, columns = slice(max(y - 2, 0), y + 3), slice(max(x - 2, 0), x + 3)
            cosines = torch.einsum('c,chw->hw', target[:, y, x], source[:, rows, columns])
            weights = (cosines / heads.TEMPERATURE).exp()
            expected[:, y, x] = (masks[:, rows, columns] * weights).sum((1, 2)) / weights.sum()
    torch.testing.assert_close(carried, expected)
    torch.testing.assert_close(heads.carry_masks(source, source, masks, 2), masks, atol=1e-2, rtol=0)
    moved = heads.carry_masks(source, source.roll(2, -1), masks, 2)
    torch.testing.assert_close(moved[..., 2:], masks[..., :-2], atol=1e-2, rtol=0)


def square(x: int) -> torch.Tensor:
    """(6, 20), 1 in a square whose left side is at x."""
    mask = torch.zeros(6, 20)
    mask[1:5, x : x + 4] = 1
    return mask


def test_clip_linker_by_hand(linkers):
    """Clips of three frames; a second object comes, the first one is missed in a clip and found again."""
    linker = linkers.LatestTrackLinker(threshold=0.5)

    def link(first: int, *tracks: list[int]) -> list[int]:
        masks = torch.stack([torch.stack([square(x) for x in frame]) for frame in zip(*tracks, strict=True)])
        return linker.link(ClipTracks.from_masks(first, masks, [0] * len(tracks)))

    assert link(0, [0, 1, 2]) == [1]
    assert link(0, [12, 12, 12], [0, 1, 2]) == [2, 1]
    assert link(1, [12, 12, 12]) == [2]
    assert link(2, [2, 3, 4], [12, 12, 12], [7, 7, 7]) == [1, 2, 3]
    assert linker.link(ClipTracks.from_masks(3, torch.zeros(3, 0, 6, 20), [])) == []
    assert link(9, [12, 12, 12]) == [4]  # no clip before reaches this one


def test_colour_linker_by_hand(model, linkers):
    """Detections of painted rectangles: the head's code is their colour, and the linker follows it."""
    image = torch.zeros(1, 3, 64, 96)
    image[..., 10:30, 10:40], image[0, 0, 40:60, 50:90] = 2.0, -2.0
    boxes = torch.tensor([[10.0, 10, 40, 30], [50.0, 40, 90, 60]])
    found = Detections(boxes, torch.tensor([0.9, 0.8]), torch.tensor([0, 1]), torch.ones(2, 28, 28))
    frame = model.frame_encoder.from_detections(view_of(model, image), found)
    torch.testing.assert_close(frame.codes['colour_head'].values, torch.tensor([[2.0, 2, 2], [-2.0, 0, 0]]))
    linker = linkers.ColourLinker()
    assert linker.link(frame.select([1])) == [1]
    assert linker.link(frame.select([])) == []
    assert linker.link(frame) == [2, 1]
