"""Who may import whom: docs/architecture.md. Every import of the package is read from its source."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / 'maskprop'
# lowest first; rooms on one level do not import each other
LEVELS = (
    ('utils',),
    ('zoo',),
    ('ops',),
    ('structures',),
    ('datasets',),
    ('evaluation',),
    ('visualization',),
    ('engine',),
    ('tracking',),
    ('models', 'methods'),
    ('registration',),
    ('apis',),
    ('ablation', 'analysis', 'conversion', 'doctor'),
    ('commands',),
    ('__main__',),
)
LEVEL = {room: level for level, rooms in enumerate(LEVELS) for room in rooms}


def package_files() -> dict[str, Path]:
    """File of each module of the package."""
    found = {}
    for path in sorted(PACKAGE.rglob('*.py')):
        parts = path.relative_to(ROOT).with_suffix('').parts
        found['.'.join(parts[:-1] if parts[-1] == '__init__' else parts)] = path
    return found


MODULES = package_files()


def imported(source: str, module: str, is_package: bool, modules: dict[str, Path]) -> Iterator[str]:
    """Modules of the package that a source imports: at its top, in functions and under TYPE_CHECKING alike."""
    package = module if is_package else module.rpartition('.')[0]
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            above = package.split('.')[: len(package.split('.')) - node.level + 1] if node.level else []
            start = '.'.join([*above, *([node.module] if node.module else [])])
            # what is imported from a package may be one of its modules
            names = [f'{start}.{alias.name}' for alias in node.names]
            names = [name if name in modules else start for name in names]
        else:
            continue
        yield from (name for name in names if name.split('.')[0] == PACKAGE.name)


def arrows(modules: dict[str, Path]) -> dict[str, set[str]]:
    """module -> modules of the package that it imports."""
    return {
        module: set(imported(path.read_text(encoding='utf-8'), module, path.name == '__init__.py', modules))
        for module, path in modules.items()
    }


def room(module: str) -> str:
    return module.split('.')[1] if '.' in module else ''


def fault(module: str, target: str) -> str | None:
    """Why a module may not import another; None: it may."""
    start, end = room(module), room(target)
    if not start or not end:  # the package itself
        return None
    if start != end:
        below = LEVEL[end] < LEVEL[start]
        return None if below else f'{module} imports {target}: {start} is not above {end}'
    if start == 'methods':
        ours, theirs = (name.split('.')[2:3] for name in (module, target))
        if ours and ours != theirs:
            return f'{module} imports {target}: a method imports no other method'
    return None


def find_circle(graph: dict[str, set[str]]) -> list[str]:
    """Files that import each other in a circle; empty: there is none."""
    done: set[str] = set()

    def visit(module: str, way: list[str]) -> list[str]:
        if module in way:
            return [*way[way.index(module) :], module]
        if module in done:
            return []
        for target in sorted(graph.get(module, ())):
            if circle := visit(target, [*way, module]):
                return circle
        done.add(module)
        return []

    return next((circle for module in graph if (circle := visit(module, []))), [])


def test_every_room_has_its_level():
    rooms = {room(module) for module in MODULES} - {''}
    assert rooms == set(LEVEL), 'add a new room to LEVELS, and to docs/architecture.md'


def test_rooms_import_downwards():
    faults = [
        why for module, targets in arrows(MODULES).items() for t in sorted(targets) if (why := fault(module, t))
    ]
    assert not faults, '\n'.join(faults)


def test_no_files_import_each_other_in_a_circle():
    graph = {module: targets - {module} for module, targets in arrows(MODULES).items()}
    graph.pop(PACKAGE.name)  # register_all imports everything when it is called
    assert not find_circle(graph), ' -> '.join(find_circle(graph))


def test_nothing_imports_what_is_not_there():
    missing = {target for targets in arrows(MODULES).values() for target in targets} - set(MODULES)
    assert not missing


@pytest.mark.parametrize(
    ('module', 'line', 'why'),
    [
        ('maskprop.tracking.video_stream', 'from maskprop.models import VideoMaskRCNN', 'not above models'),
        ('maskprop.ops.masks', 'import maskprop.structures.frame', 'not above structures'),
        ('maskprop.models.frame_pairs', 'from maskprop.methods.flow import DISFlow', 'not above methods'),
        ('maskprop.methods.flow.flow_propagator', 'from maskprop.models import frame_pairs', 'not above models'),
        ('maskprop.methods.flow.flow_propagator', 'from maskprop.methods import objprop', 'no other method'),
        ('maskprop.datasets.rle', 'from maskprop.evaluation import evaluate_video_ap', 'not above evaluation'),
        ('maskprop.evaluation.metric', 'from ..engine import loops', 'not above engine'),
        ('maskprop.engine.cli', 'def f():\n    import maskprop.apis.model', 'not above apis'),
        (
            'maskprop.models.model_parts',
            'if TYPE_CHECKING:\n    from maskprop.apis import session',
            'not above apis',
        ),
    ],
)
def test_an_import_turned_round_is_found(module, line, why):
    targets = list(imported(line, module, False, MODULES))
    assert any(why in (fault(module, target) or '') for target in targets), targets


def test_a_circle_is_found():
    assert find_circle({'a': {'b'}, 'b': {'c'}, 'c': {'b'}}) == ['b', 'c', 'b']
    assert not find_circle({'a': {'b', 'c'}, 'b': {'c'}, 'c': set()})
