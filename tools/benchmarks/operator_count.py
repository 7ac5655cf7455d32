"""How many operators PyTorch calls, by the part of a model that calls them."""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map_only

# new memory without content, and new names of old memory
WITHOUT_WORK = {
    'empty',
    'empty_like',
    'empty_strided',
    'new_empty',
    'new_empty_strided',
    '_unsafe_view',
    'lift_fresh',
}

CONVOLUTIONS = {'convolution', 'convolution_backward'}


class OperatorCount(TorchDispatchMode):
    """Counts the operators that compute something while it is entered: forward, backward, casts of autocast.

    A GPU starts at least one kernel for each; they are counted on a CPU as well. Views are left out, and memory
    that is only reserved. A call for many tensors (``_foreach_add_``) counts once.

    Attributes:
        by_part: how often each operator was called, by the part that called it: the names of :meth:`part` and
            :meth:`watch` from outside in, ``()`` where there is none. An operator of a backward pass belongs to
            the part that it is the gradient of.
    """

    def __init__(self) -> None:
        super().__init__()
        self.by_part: dict[tuple[str, ...], Counter[str]] = {}
        self._part: tuple[str, ...] = ()
        # autograd's number of the first node that a part can have made
        self._begun: list[tuple[int, tuple[str, ...]]] = []

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """What is called inside belongs to this part, which may be in another part."""
        outer = self._part
        self._begin((*outer, name))
        try:
            yield
        finally:
            self._begin(outer)

    def watch(self, owner: Any, method: str, name: str) -> None:
        """Make each call of an object's method a part, for as long as the object lives."""
        call = getattr(owner, method)

        def counted(*args: Any, **kwargs: Any) -> Any:
            with self.part(name):
                return call(*args, **kwargs)

        setattr(owner, method, counted)

    def total(self) -> Counter[str]:
        """How often each operator was called in all parts."""
        return sum(self.by_part.values(), Counter())

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func.overloadpacket.__name__
        if not func.is_view and name not in WITHOUT_WORK:
            self.by_part.setdefault(self._now(), Counter())[name] += 1
        if name in CONVOLUTIONS:
            return _in_float32(func, args)
        return func(*args, **(kwargs or {}))

    def _begin(self, part: tuple[str, ...]) -> None:
        self._part = part
        self._begun.append((torch._C._autograd._get_sequence_nr(), part))

    def _now(self) -> tuple[str, ...]:
        node = torch._C._current_autograd_node()
        if node is None:
            return self._part
        before = bisect_right(self._begun, node._sequence_nr(), key=lambda begun: begun[0])
        return self._begun[before - 1][1] if before else self._part


def _in_float32(func: Any, args: tuple) -> Any:
    """A convolution of bfloat16 maps, which many CPUs have in no fast form, by that of float32 ones."""
    kind = args[0].dtype
    if kind != torch.bfloat16 or args[0].device.type != 'cpu':
        return func(*args)
    found = func(*(a.float() if isinstance(a, torch.Tensor) else a for a in args))
    return tree_map_only(torch.Tensor, lambda t: t.to(kind), found)


def count_operators(form: Callable[[], Any]) -> Counter[str]:
    """How often a form calls each operator, ``.total()`` in all; see :class:`OperatorCount`."""
    with OperatorCount() as count:
        form()
    return count.total()
