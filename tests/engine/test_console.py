"""The numbers beside the bar of a training."""

from __future__ import annotations

from types import SimpleNamespace

from mmengine.logging import MessageHub

from maskprop.engine.console import _numbers


def test_numbers_of_a_training_with_and_without_a_loss():
    hub = MessageHub.get_instance('test_console')
    hub.update_info('eta', 3725.0)
    runner = SimpleNamespace(message_hub=hub)
    assert _numbers(runner).startswith('1:02:05 left, ')
    for loss in (1.0, 2.0):
        hub.update_scalar('train/loss', loss)
    assert _numbers(runner).startswith('loss 1.5, 1:02:05 left, ')
