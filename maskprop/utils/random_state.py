"""Saving, restoring and seeding the random states of python, numpy and torch together.

A state holds tensors, numbers, strings, lists and tuples only, so a checkpoint with it inside loads with
``torch.load(weights_only=True)``.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch

RandomState = dict[str, Any]


def get_random_state() -> RandomState:
    """The states of python's, numpy's and torch's global generators.

    Returns:
        Dict with ``python`` (nested tuple of numbers), ``numpy`` (list: name, (624,) int64 tensor, position,
        has_gauss, cached gaussian), ``torch`` ((5056,) uint8 tensor) and ``cuda`` (uint8 tensor of the
        current device, or None where CUDA was not initialised).
    """
    name, keys, position, has_gauss, cached = np.random.get_state(legacy=True)
    return dict(
        python=random.getstate(),
        numpy=[name, torch.from_numpy(keys.astype(np.int64)), int(position), int(has_gauss), float(cached)],
        torch=torch.get_rng_state(),
        cuda=torch.cuda.get_rng_state() if torch.cuda.is_initialized() else None,
    )


def set_random_state(state: RandomState) -> None:
    """Put the global generators back to ``state``, made by :func:`get_random_state`.

    Tensors may lie on any device (a checkpoint may have been loaded with a ``map_location``). A CUDA state is
    used only where CUDA is initialised.
    """
    version, internal, gauss = state['python']
    random.setstate((version, tuple(internal), gauss))
    name, keys, position, has_gauss, cached = state['numpy']
    np.random.set_state((name, keys.cpu().numpy().astype(np.uint32), position, has_gauss, cached))
    torch.set_rng_state(state['torch'].cpu())
    if state.get('cuda') is not None and torch.cuda.is_initialized():
        torch.cuda.set_rng_state(state['cuda'].cpu())


def seed_all(*key: int) -> None:
    """Seed every global generator from non-negative integers, e.g. ``(seed, epoch, position)``.

    Different keys give independent streams (numpy's ``SeedSequence``). CUDA is seeded only where initialised:
    ``torch.manual_seed`` would queue the seed for later and so change an unrelated stream.

    Raises:
        ValueError: no key, or a negative one.
    """
    if not key or any(k < 0 for k in key):
        raise ValueError(f'a random key is one or more integers >= 0, found {key}')
    # With the length in front, since SeedSequence takes (1,) and (1, 0) for the same.
    entropy = [len(key), *(int(k) for k in key)]
    words = [int(w) for w in np.random.SeedSequence(entropy).generate_state(4)]
    random.seed(words[0])
    np.random.seed(words[1])
    torch.default_generator.manual_seed(words[2])
    if torch.cuda.is_initialized():
        torch.cuda.manual_seed(words[3])


@contextmanager
def preserve_random_state() -> Iterator[None]:
    """Whatever random numbers are drawn inside, the generators are afterwards as they were before."""
    state = get_random_state()
    try:
        yield
    finally:
        set_random_state(state)


@contextmanager
def seeded(*key: int) -> Iterator[None]:
    """Inside, the generators start from ``key`` (see :func:`seed_all`); afterwards they are as before."""
    with preserve_random_state():
        seed_all(*key)
        yield
