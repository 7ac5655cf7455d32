"""Costs of models as Markdown tables."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from maskprop.apis.model_cost import PARTS, ModelCost

MILLION, MEGABYTE, GIGA = 10**6, 10**6, 10**9


def cost_tables(costs: Mapping[str, ModelCost]) -> str:
    """Three tables with a row for each model: memory, parameters and FLOPs by part."""
    parameters = {name: cost.parameters for name, cost in costs.items()}
    flops = {name: cost.flops for name, cost in costs.items()}
    memory = [
        [name, *(f'{value / MEGABYTE:.0f}' for value in (cost.state_bytes, cost.test_bytes, cost.train_bytes))]
        for name, cost in costs.items()
    ]
    return '\n\n'.join(
        (
            _table(['', 'state dict, MB', 'test frame, MB', 'training sample, MB'], memory),
            _by_part('parameters, million', parameters, MILLION),
            _by_part('GFLOPs of a frame', flops, GIGA),
        )
    )


def _by_part(heading: str, values: Mapping[str, Mapping[str, int]], unit: int) -> str:
    parts = [part for part in (*PARTS, 'other') if any(part in found for found in values.values())]
    rows = []
    for name, found in values.items():
        cells = [f'{found[part] / unit:.1f}' if part in found else '' for part in parts]
        rows.append([name, f'{sum(found.values()) / unit:.1f}', *cells])
    return _table([heading, 'all', *parts], rows)


def _table(headings: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    headings = list(headings)
    lines = [headings, ['---'] * len(headings), *rows]
    return '\n'.join('| ' + ' | '.join(line) + ' |' for line in lines)
