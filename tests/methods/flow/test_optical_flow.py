"""Maps along optical flow, by hand and against slow literal forms."""

import math

import pytest
import torch

from maskprop.methods.flow.optical_flow import compose_flows, consistent, ends_inside, pool_flow, warp


def look_up(values, x, y):
    """Bilinear, in plain Python; beyond the map the nearest cell's value."""
    height, width = len(values), len(values[0])
    x, y = min(max(x, 0.0), width - 1.0), min(max(y, 0.0), height - 1.0)
    x0, y0 = min(int(x), width - 2), min(int(y), height - 2)
    u, v = x - x0, y - y0
    top = (1 - u) * values[y0][x0] + u * values[y0][x0 + 1]
    bottom = (1 - u) * values[y0 + 1][x0] + u * values[y0 + 1][x0 + 1]
    return (1 - v) * top + v * bottom


def random_flow(seed, size=(5, 7), scale=2.5):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(1, 2, *size, generator=generator, dtype=torch.float64) * scale


def test_warp_by_hand():
    """A row 1 2 3 4: one cell ahead, half a cell back, far beyond the end; the second row one cell up."""
    values = torch.tensor([[[[1.0, 2.0, 3.0, 4.0], [5.0, 6.0, 7.0, 8.0]]]])
    flow = torch.zeros(1, 2, 2, 4)
    flow[0, 0, 0] = torch.tensor([1.0, -0.5, 9.0, 0.0])
    flow[0, 1, 1] = torch.tensor([-1.0, -1.0, -0.25, 0.0])
    expected = torch.tensor([[2.0, 1.5, 4.0, 4.0], [1.0, 2.0, 6.0, 8.0]])
    torch.testing.assert_close(warp(values, flow)[0, 0], expected)


def test_warp_is_the_slow_form():
    flow, values = random_flow(0), random_flow(1)
    found = warp(values, flow)
    for channel in (0, 1):
        for y in range(5):
            for x in range(7):
                dx, dy = flow[0, :, y, x].tolist()
                expected = look_up(values[0, channel].tolist(), x + dx, y + dy)
                assert found[0, channel, y, x].item() == pytest.approx(expected, abs=1e-9)


def test_what_leaves_the_map_is_not_inside():
    flow = torch.zeros(1, 2, 2, 3)
    flow[0, 0, 0] = torch.tensor([-0.4, 1.6, 0.6])  # x: -0.4, 2.6, 2.6 of cells that end at -0.5 and 2.5
    flow[0, 1, 1] = torch.tensor([-1.4, -1.6, 0.4])
    assert ends_inside(flow)[0].tolist() == [[True, False, False], [True, False, True]]


def test_composition_goes_one_flow_after_the_other():
    first, second = random_flow(2), random_flow(3)
    found = compose_flows(first, second)
    for y in range(5):
        for x in range(7):
            dx, dy = first[0, :, y, x].tolist()
            further = [look_up(second[0, c].tolist(), x + dx, y + dy) for c in (0, 1)]
            assert found[0, 0, y, x].item() == pytest.approx(dx + further[0], abs=1e-9)
            assert found[0, 1, y, x].item() == pytest.approx(dy + further[1], abs=1e-9)


def test_consistency_is_the_written_form():
    flow, back = random_flow(4, scale=1.2), random_flow(5, scale=1.2)
    relative, absolute = 0.2, 1.5
    found = consistent(flow, back, relative, absolute)[0]
    seen = set()
    for y in range(5):
        for x in range(7):
            dx, dy = flow[0, :, y, x].tolist()
            bx, by = (look_up(back[0, c].tolist(), x + dx, y + dy) for c in (0, 1))
            inside = -0.5 <= x + dx <= 6.5 and -0.5 <= y + dy <= 4.5
            length = dx**2 + dy**2 + bx**2 + by**2
            close = math.hypot(dx + bx, dy + by) ** 2 < relative * length + absolute
            assert found[y, x].item() == (inside and close)
            seen.add((inside, close))
    assert seen == {(True, True), (True, False), (False, True), (False, False)}


def test_flow_in_cells():
    """6 and 3 half-size pixels of a 16x24 picture are 12 and 6 of its own, or 3 and 1.5 cells of 4."""
    flow = torch.tensor([6.0, 3.0]).view(1, 2, 1, 1).expand(1, 2, 8, 12)
    found = pool_flow(flow, (16, 24), stride=4, cells=(8, 8))
    assert found.shape == (1, 2, 8, 8)
    torch.testing.assert_close(found[0, 0], torch.full((8, 8), 3.0))
    torch.testing.assert_close(found[0, 1], torch.full((8, 8), 1.5))


def test_a_cell_has_the_mean_of_its_pixels():
    flow = random_flow(6, size=(6, 8))
    found = pool_flow(flow, (6, 8), stride=2, cells=(3, 4))
    for y in range(3):
        for x in range(4):
            block = flow[0, :, 2 * y : 2 * y + 2, 2 * x : 2 * x + 2]
            torch.testing.assert_close(found[0, :, y, x], block.mean((1, 2)) / 2)
