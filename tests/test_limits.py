"""CONTRIBUTING.md: functions under 60 lines, files under 350.

A function's length is counted as its reader sees it: from the line of ``def`` to the last line of the body, with
signature and docstring, without decorators. What is defined inside a function counts as a part of it.
"""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FILES = sorted(path for folder in ('maskprop', 'tools') for path in (ROOT / folder).rglob('*.py'))
FUNCTION_LINES, FILE_LINES = 60, 350


def too_long(source: str) -> list[str]:
    """What of a file is too long, in words."""
    lines = len(source.splitlines())
    found = [f'{lines} lines'] if lines >= FILE_LINES else []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            lines = node.end_lineno - node.lineno + 1
            if lines >= FUNCTION_LINES:
                found.append(f'line {node.lineno}: {node.name} has {lines} lines')
    return found


@pytest.mark.parametrize('file', FILES, ids=lambda file: str(file.relative_to(ROOT)))
def test_functions_and_files_are_short(file):
    found = too_long(file.read_text(encoding='utf-8'))
    assert not found, f'{file.relative_to(ROOT)}: {"; ".join(found)} (see CONTRIBUTING.md)'


def test_limits_themselves():
    def function(lines: int, head: str = '') -> str:
        return f'{head}def f():\n    """Text."""\n' + '    pass\n' * (lines - 2)

    assert len(FILES) > 100, 'the files are found'
    assert not too_long(function(59, head='@decorator\n'))
    assert too_long(function(60)) == ['line 1: f has 60 lines']
    assert too_long('class A:\n    async def f(self):\n' + '        pass\n' * 59) == ['line 2: f has 60 lines']
    assert not too_long('\n' * 349)
    assert too_long('\n' * 350) == ['350 lines']
