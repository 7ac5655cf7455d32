"""--epochs: a shorter or longer training whose rates have the same shape."""

from __future__ import annotations

import pytest
import torch
from mmengine.config import Config
from mmengine.optim import OptimWrapper
from mmengine.registry import PARAM_SCHEDULERS

from maskprop.engine.config import ConfigError
from maskprop.engine.loops import _take_whole_steps
from maskprop.engine.schedule_option import use_epochs

LENGTH = 7  # iterations of an epoch
WARM_UP = dict(type='LinearLR', start_factor=0.1, by_epoch=False, begin=0, end=4)
SCHEDULES = {
    'steps': [dict(type='MultiStepLR', by_epoch=True, begin=0, end=20, milestones=[16, 19], gamma=0.1)],
    'fractions': [dict(type='MultiStepLR', by_epoch=True, milestones=[16 / 3], convert_to_iter_based=True)],
    'equal steps': [dict(type='StepLR', step_size=5, gamma=0.5)],
    'cosine': [dict(type='CosineAnnealingLR', by_epoch=True, T_max=20, convert_to_iter_based=True)],
    'cosine in iterations': [dict(type='CosineAnnealingLR', by_epoch=False, T_max=20 * LENGTH)],
    'after the warm-up': [WARM_UP, dict(type='PolyLR', power=0.9, by_epoch=False, begin=4, end=20 * LENGTH)],
    'polynomial': [dict(type='PolyLR', power=0.9, by_epoch=True, begin=0, end=20, convert_to_iter_based=True)],
}


def config(schedulers: list[dict], **loop) -> Config:
    loop = dict(type='VideoTrainLoop', max_epochs=20, val_interval=1) | loop
    return Config(dict(param_scheduler=schedulers, train_cfg=loop))


def rates(cfg: Config) -> list[float]:
    """The rate of every iteration, as mmengine's hook and our loop step the schedules."""
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    schedulers = []
    for scheduler in cfg.param_scheduler:
        scheduler = dict(scheduler)
        schedulers.append(
            PARAM_SCHEDULERS.build(
                scheduler, default_args=dict(optimizer=OptimWrapper(optimizer), epoch_length=LENGTH)
            )
        )
    _take_whole_steps(schedulers)
    found = []
    for _ in range(cfg.train_cfg.max_epochs):
        for _ in range(LENGTH):
            found.append(optimizer.param_groups[0]['lr'])
            optimizer.step()
            for scheduler in schedulers:
                scheduler.step() if not scheduler.by_epoch else None
        for scheduler in schedulers:
            scheduler.step() if scheduler.by_epoch else None
    return found


@pytest.mark.parametrize('epochs', [5, 7, 60])
@pytest.mark.parametrize('name', SCHEDULES)
def test_the_rates_are_those_of_the_old_length_in_proportion(name, epochs):
    cfg = config(SCHEDULES[name])
    before = rates(cfg)
    use_epochs(cfg, epochs)
    after = rates(cfg)
    assert len(after) == epochs * LENGTH
    warm = 4 if len(cfg.param_scheduler) > 1 else 0
    assert after[:warm] == before[:warm]
    for place in (0.2, 0.4, 0.6, 0.9, 0.97):  # away from the steps
        old, new = before[int(place * len(before))], after[int(place * len(after))]
        assert new == pytest.approx(old, abs=0.12 if warm else 0.06)


def test_a_step_between_two_iterations_is_taken():
    """19 of 20 epochs are 4.75 of 5; 4.75 times 7 iterations are no whole number."""
    cfg = config(SCHEDULES['steps'])
    use_epochs(cfg, 5)
    found = rates(cfg)
    assert found.count(pytest.approx(0.1)) == 33 - 28 and found.count(pytest.approx(0.01)) == 35 - 33


def test_a_rate_that_is_multiplied_once_an_epoch_comes_to_the_same_end():
    cfg = config([dict(type='ExponentialLR', by_epoch=True, begin=8, end=21, gamma=0.01 ** (1 / 12))])
    use_epochs(cfg, 10)
    assert cfg.param_scheduler[0].begin == 4 and cfg.param_scheduler[0].end in (10, 11)
    assert rates(cfg)[-1] == pytest.approx(0.01, rel=1.5) and rates(cfg)[0] == 1.0


def test_the_loop_and_what_is_refused():
    cfg = config([WARM_UP], val_interval=20)
    use_epochs(cfg, 3)
    assert cfg.train_cfg == dict(type='VideoTrainLoop', max_epochs=3, val_interval=3)
    assert cfg.param_scheduler == [WARM_UP]
    cfg = config([WARM_UP], val_interval=5)
    use_epochs(cfg, 40)
    assert cfg.train_cfg.val_interval == 5
    with pytest.raises(ConfigError, match='max_iters=9.*--cfg-options train_cfg.max_iters=N'):
        use_epochs(Config(dict(train_cfg=dict(type='IterBasedTrainLoop', max_iters=9))), 3)
    with pytest.raises(ConfigError, match='--cfg-options max_iters=N'):
        use_epochs(Config(dict(max_iters=9, train_cfg=dict(max_iters=9))), 3)
    with pytest.raises(ConfigError, match='param_scheduler.0: --epochs does not know what of OneCycleLR'):
        use_epochs(config([dict(type='OneCycleLR', eta_max=1, total_steps=20)]), 3)
    with pytest.raises(ConfigError, match='dynamic_intervals'):
        use_epochs(config([], dynamic_intervals=[(2, 1)]), 3)
