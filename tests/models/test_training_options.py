"""What saves time and memory in training changes nothing else."""

from __future__ import annotations

import copy
import logging
from types import SimpleNamespace

import pytest
import torch
from mmengine.optim import OptimWrapper, build_optim_wrapper

from maskprop.engine.bf16 import Bf16OptimWrapper
from maskprop.engine.compile_hook import PARTS, CompilePartsHook, compile_parts
from tests.models.builders import build_model, make_batch

PAIRS = (([1, 2], [1, 2]), ([3], [3, 4]))


def step(model, batch, wrapper: OptimWrapper | None = None) -> tuple[float, dict[str, torch.Tensor]]:
    """Total loss and gradients from fixed random samples."""
    torch.manual_seed(5)
    wrapper = wrapper or OptimWrapper(torch.optim.SGD(model.parameters(), lr=0.0))
    with wrapper.optim_context(model):
        total, _ = model.parse_losses(model.loss(*batch))
    model.zero_grad()
    total.backward()
    grads = {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}
    return total.item(), grads


def assert_same(found, expected, tolerance: float = 1e-6) -> None:
    assert found[0] == pytest.approx(expected[0], rel=tolerance)
    assert found[1].keys() == expected[1].keys()
    for name, grad in expected[1].items():
        torch.testing.assert_close(found[1][name], grad, rtol=1e-4, atol=1e-5, msg=lambda m, n=name: f'{n}: {m}')


def count_forwards(model: torch.nn.Module) -> list:
    calls: list = []
    model.detector.backbone.layer2[0].conv1.register_forward_hook(lambda *_: calls.append(1))
    return calls


@pytest.fixture(scope='module')
def batch():
    return make_batch(*PAIRS)


@pytest.fixture(scope='module')
def plain(batch):
    return step(build_model().train(), batch)


def test_checkpointed_backbone_has_the_same_loss_and_gradients(batch, plain):
    model = build_model().train()
    for block in model.detector.backbone.modules():
        if hasattr(block, 'with_cp'):  # the backbone's key
            block.with_cp = True
    calls = count_forwards(model)
    assert_same(step(model, batch), plain)
    assert len(calls) == 2, 'once forward and once more in backward'


@pytest.mark.slow
@pytest.mark.parametrize('backend', ['eager', 'aot_eager'])
def test_compiled_parts_have_the_same_loss_and_gradients_and_names(batch, plain, backend):
    torch._dynamo.reset()
    torch._dynamo.utils.counters.clear()
    model = build_model().train()
    names = list(model.state_dict())
    compile_parts(model, backend=backend)
    assert list(model.state_dict()) == names
    assert_same(step(model, batch), plain, 1e-5)
    frames = torch._dynamo.utils.counters['frames']
    assert frames['ok'] == frames['total'] >= len(PARTS), 'nothing fell back'
    build_model().load_state_dict(model.state_dict())
    model.load_state_dict(build_model().state_dict())
    copied = copy.deepcopy(model.detector.backbone)  # as an EMA hook does
    assert list(copied.state_dict()) == list(model.detector.backbone.state_dict())


@pytest.mark.slow
def test_compile_hook_compiles_what_it_names():
    torch._dynamo.reset()
    torch._dynamo.utils.counters.clear()
    compiled: list[str] = []

    def backend(graph, inputs):
        compiled.append('graph')
        return graph.forward

    model = build_model().train()
    runner = SimpleNamespace(model=model, logger=logging.getLogger('test'))
    CompilePartsHook(['detector.neck'], backend=backend).before_train(runner)
    feats = model.detector.backbone(torch.zeros(1, 3, 64, 64))
    assert not compiled
    model.detector.neck(feats)
    assert compiled


@pytest.mark.parametrize('parts', [['detector.tail'], ['tail.forward'], ['clip_radius'], ['detect_on']])
def test_parts_that_cannot_be_compiled_are_named(parts):
    with pytest.raises(ValueError, match=parts[0]):
        compile_parts(build_model(), parts)


def test_a_single_name_is_no_list_of_parts():
    with pytest.raises(ValueError, match='list of names'):
        CompilePartsHook('detector.backbone')


@pytest.mark.slow
def test_two_accumulated_batches_step_once_by_their_mean_gradient():
    batches = [make_batch(*PAIRS), make_batch(([5], [5]), ([6, 7], [6]))]
    model, kept = build_model().train(), build_model()
    # batch norm's running means don't enter the gradients
    grads = [step(model, batch)[1] for batch in batches]
    model = build_model().train()
    wrapper = OptimWrapper(torch.optim.SGD(model.parameters(), lr=0.1), accumulative_counts=2)
    wrapper.initialize_count_status(model, 0, 4)
    before = {name: p.clone() for name, p in kept.named_parameters()}
    for index, batch in enumerate(batches):
        torch.manual_seed(5)
        with wrapper.optim_context(model):
            total, _ = model.parse_losses(model.loss(*batch))
        wrapper.update_params(total)
        moved = any(not torch.equal(p, before[name]) for name, p in model.named_parameters())
        assert moved == (index == 1)
    for name, p in model.named_parameters():
        found = sum(g[name] for g in grads if name in g) / 2
        torch.testing.assert_close(p, before[name] - 0.1 * found, rtol=1e-4, atol=1e-5)


def test_bf16_step_is_near_fp32_and_keeps_weights_in_fp32(batch, plain):
    model = build_model().train()
    optim = dict(type='Bf16OptimWrapper', optimizer=dict(type='SGD', lr=0.01), accumulative_counts=2)
    wrapper = build_optim_wrapper(model, optim)
    assert isinstance(wrapper, Bf16OptimWrapper)
    kinds = []
    model.detector.neck.register_forward_hook(lambda m, i, out: kinds.append(out[0].dtype))
    total, grads = step(model, batch, wrapper)
    assert kinds == [torch.bfloat16]
    assert total == pytest.approx(plain[0], rel=0.05) and total != plain[0]
    assert {g.dtype for g in grads.values()} == {p.dtype for p in model.parameters()} == {torch.float32}
    assert all(g.isfinite().all() for g in grads.values())
