"""FSDP2: training with parameters, gradients and optimizer state sharded over the processes."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import mmengine
import torch
from mmengine._strategy import DDPStrategy
from mmengine.device import get_device
from mmengine.dist import get_world_size, is_main_process
from mmengine.registry import STRATEGIES
from mmengine.runner.checkpoint import save_checkpoint
from torch import Tensor, nn
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh
from torch.distributed.fsdp import FSDPModule, fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor
from torch.utils._pytree import tree_map

from maskprop.engine.launch import LaunchError

#: Gathered for their own forward and backward pass only: most of the parameters, and reached by ``forward`` alone.
UNITS = (r'detector\.backbone\.layer\d', r'detector\.roi_head\.bbox_head(\.\d)?')


@STRATEGIES.register_module()
class FSDP2Strategy(DDPStrategy):
    """Shards a model by PyTorch's ``fully_shard``; each process computes its own samples, as with DDP.

    The steps are those of DDP up to rounding, and so are the checkpoints: rank 0 writes whole tensors under DDP's
    keys, the optimizer's by number, so a training goes on with either strategy and any number of processes, and
    tests need no FSDP.

    Args:
        units: Regular expressions of the modules (their full names) that are gathered apart, when they compute;
            all other parameters are gathered during the whole step. Every process must call a unit's ``forward``
            equally often in a step; parameters used by other methods of a unit would not be gathered.
        shard_size: Processes that share one copy of the model, e.g. those of a node; each such group holds a
            copy, and gradients are averaged over groups too. None: all processes hold one copy.
        **kwargs: of mmengine's ``DDPStrategy``.

    Raises:
        LaunchError: Not started as several processes, or ``shard_size`` does not divide their number.
        ValueError: A pattern of ``units``, if given, matches no module.
    """

    def __init__(
        self, *, units: Sequence[str] | None = None, shard_size: int | None = None, **kwargs: Any
    ) -> None:
        self.units, self.shard_size = units, shard_size
        super().__init__(**kwargs)

    def _wrap_model(self, model: nn.Module) -> nn.Module:
        if isinstance(model, FSDPModule):
            return model
        mesh = self._mesh()
        model = self.convert_model(model.to(get_device()))
        for unit in self._find_units(model):
            fully_shard(unit, mesh=mesh)
        return fully_shard(model, mesh=mesh)

    def _mesh(self) -> DeviceMesh:
        if not torch.distributed.is_initialized():
            raise LaunchError(
                'FSDP2Strategy shards over processes: start them by tools/dist_train.sh or another launcher, or '
                'leave out the strategy: --cfg-options strategy=None'
            )
        ranks = get_world_size()
        size = self.shard_size or ranks
        if ranks % size:
            raise LaunchError(f'strategy.shard_size={size} does not divide the {ranks} processes')
        if size == ranks:
            return init_device_mesh(get_device(), (ranks,))
        return init_device_mesh(get_device(), (ranks // size, size), mesh_dim_names=('replicate', 'shard'))

    def _find_units(self, model: nn.Module) -> list[nn.Module]:
        """The modules that ``units`` name, inner ones first."""
        modules = list(model.named_modules())[::-1]
        patterns = UNITS if self.units is None else self.units
        for pattern in self.units or ():
            if not any(re.fullmatch(pattern, name) for name, _ in modules):
                raise ValueError(f'strategy.units: {pattern!r} matches no module of the model')
        found = [m for name, m in modules if any(re.fullmatch(pattern, name) for pattern in patterns)]
        return [m for m in found if not isinstance(m, nn.ModuleList)]  # a cascade's heads: one unit each

    def save_checkpoint(
        self,
        filename: str,
        *,
        save_optimizer: bool = True,
        save_param_scheduler: bool = True,
        extra_ckpt: dict | None = None,
        callback: Callable | None = None,
    ) -> None:
        """As the base class, but all processes take part; rank 0 writes."""
        checkpoint = dict(state_dict=self.model_state_dict())
        if save_optimizer and hasattr(self, 'optim_wrapper'):
            checkpoint['optimizer'] = self.optim_state_dict()
        if save_param_scheduler and hasattr(self, 'param_schedulers'):
            checkpoint['param_schedulers'] = self.scheduler_state_dict()
        checkpoint.update(extra_ckpt or {})
        now = time.strftime('%Y%m%d_%H%M%S', time.localtime())
        checkpoint.setdefault('meta', {}).update(seed=self.seed, time=now, mmengine=mmengine.__version__)
        if callback is not None:
            callback(checkpoint)
        if is_main_process():
            save_checkpoint(checkpoint, filename)

    def model_state_dict(self) -> dict[str, Tensor]:
        """Whole tensors on the CPU of rank 0, empty ones elsewhere; all processes must call it."""
        state = self.model.state_dict()  # changed in place: it carries versions in an attribute
        for name, value in state.items():
            state[name] = _whole(value)
        return state

    def optim_state_dict(self) -> dict[str, Any]:
        """As :meth:`model_state_dict`, in the optimizer's own layout."""
        return tree_map(_whole, super().optim_state_dict())

    def load_model_state_dict(
        self,
        state_dict: dict,
        *,
        strict: bool = False,
        revise_keys: Sequence[tuple[str, str]] = ((r'^module\.', ''),),
    ) -> None:
        """Load whole tensors, equal on all processes; each keeps its shards."""
        metadata = getattr(state_dict, '_metadata', None)
        own = self.model.state_dict()
        sharded = type(state_dict)()
        for name, value in state_dict.items():
            for pattern, replacement in revise_keys:
                name = re.sub(pattern, replacement, name)
            sharded[name] = _shard_like(value, own.get(name))
        if metadata is not None:
            setattr(sharded, '_metadata', metadata)  # noqa: B010  of an OrderedDict
        super().load_model_state_dict(sharded, strict=strict, revise_keys=[])

    def load_optim_state_dict(self, state_dict: dict) -> None:
        """Load whole tensors, as an optimizer of an unsharded model has them; each process keeps its shards."""
        keys = [key for group in state_dict['param_groups'] for key in group['params']]
        params = [param for group in self.optim_wrapper.optimizer.param_groups for param in group['params']]
        param_of = dict(zip(keys, params, strict=True))
        states = {
            key: {name: _shard_like(value, param_of[key]) for name, value in state.items()}
            for key, state in state_dict['state'].items()
        }
        super().load_optim_state_dict({**state_dict, 'state': states})


def _whole(value: Any) -> Any:
    """A tensor on the CPU, gathered if sharded; empty where rank 0 has it."""
    if isinstance(value, DTensor):
        value = value.full_tensor()
        return value.cpu() if is_main_process() else value.new_empty(0)
    return value.cpu() if isinstance(value, Tensor) else value


def _shard_like(value: Any, like: Tensor | None) -> Any:
    """A whole tensor sharded as ``like`` is, if it has that shape; anything else as it is."""
    if isinstance(value, Tensor) and isinstance(like, DTensor) and value.shape == like.shape:
        return distribute_tensor(value.to(like.device), like.device_mesh, like.placements)
    return value


@contextmanager
def whole_parameters(model: nn.Module) -> Iterator[None]:
    """Inside, each process has all parameters of a sharded model, so processes may run it unequally often.

    All processes must enter and leave together. Without effect on a model that is not sharded.
    """
    units = [module for module in model.modules() if isinstance(module, FSDPModule)]
    for unit in units:
        unit.set_reshard_after_forward(False, recurse=False)
        unit.unshard()
    try:
        yield
    finally:
        for unit in units:
            unit.reshard()
            unit.set_reshard_after_forward(unit is not model, recurse=False)  # fully_shard's own default
