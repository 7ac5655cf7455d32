"""The documents agree with the repository: links, paths, options, config values, and the example they print."""

from __future__ import annotations

import ast
import contextlib
import inspect
import io
import re
import runpy
import sys
from pathlib import Path
from unittest import mock

import pytest
import yaml

from maskprop.commands import COMMANDS, main
from maskprop.zoo import find_model, list_models

ROOT = Path(__file__).parents[1]
PAGES = [str(p.relative_to(ROOT)) for p in sorted((ROOT / 'docs').rglob('*.md'))]
DOCS = ['README.md', 'CONTRIBUTING.md', 'data/README.md', *PAGES]
OUTSIDE = ['contributing.md', 'changelog.md']  # pages of the site that docs/site/hooks.py takes from the root
CONFIGS = sorted(str(p.relative_to(ROOT)) for p in (ROOT / 'configs').rglob('*.py'))
MAX_WORDS = 600
EXAMPLE = 'my_method'  # of docs/adding_a_method.md: its own test makes the folder
FENCE = re.compile(r'^```\w*\n(.*?)^```$', re.DOTALL | re.MULTILINE)
LINK = re.compile(r'\]\(([^)\s]+)\)')
PATH = re.compile(r'(?<![\w./-])((?:tools|configs|tests|maskprop|docs)/[\w./-]*\w)')
NAMED = rf'(?<![\w./-])(maskprop (?:{"|".join(COMMANDS)}))(?![\w-])'
TOOL = re.compile(rf'(?:python|bash) (tools/\w+\.(?:py|sh))|{NAMED}')
PLACEHOLDER = re.compile(r'@[A-Z][A-Z_]+@')


def read(name: str) -> str:
    return (ROOT / name).read_text(encoding='utf-8')


def anchors(text: str) -> set[str]:
    """GitHub's anchors of a document's headings."""
    headings = re.findall(r'^#+ (.*)$', FENCE.sub('', text), re.MULTILINE)
    return {re.sub(r'[^\w\- ]', '', heading.lower()).replace(' ', '-') for heading in headings}


def commands(text: str) -> list[str]:
    """Commands of the tools in blocks and in `code`, without comments, continued lines joined."""
    lines = text.replace('\\\n', ' ').splitlines()
    spans = [span for line in lines for span in re.findall(r'`([^`]+)`', line)]
    return [c for whole in [*lines, *spans] if TOOL.search(c := whole.split(' #')[0]) and '`' not in whole]


@pytest.mark.parametrize('name', DOCS)
def test_relative_links_lead_somewhere(name):
    text = FENCE.sub('', read(name))
    for link in LINK.findall(text):
        if re.match(r'\w+:', link):
            continue
        target, _, anchor = link.partition('#')
        path = (ROOT / name).parent / target if target else ROOT / name
        assert path.exists(), f'{name} links to {link}, which does not exist'
        if anchor:
            assert anchor in anchors(path.read_text(encoding='utf-8')), f'{name} links to {link}: no such heading'


class Settings(yaml.SafeLoader):
    """Of mkdocs.yml: what only mkdocs can make is left out."""


Settings.add_multi_constructor('tag:yaml.org,2002:python/', lambda *_: None)


def entries(menu) -> list[str]:
    """The pages of a menu of mkdocs.yml, in order."""
    if isinstance(menu, str):
        return [menu]
    parts = menu.values() if isinstance(menu, dict) else menu
    return [page for part in parts for page in entries(part)]


def test_menu_of_the_site_has_every_page_once():
    menu = entries(yaml.load(read('mkdocs.yml'), Settings)['nav'])
    notebooks = [p.relative_to(ROOT / 'docs').with_suffix('.md') for p in (ROOT / 'docs').rglob('*.ipynb')]
    pages = [*(name.removeprefix('docs/') for name in PAGES), *map(str, notebooks), *OUTSIDE]
    assert sorted(menu) == sorted(pages), 'nav of mkdocs.yml and the pages of docs/ differ'


@pytest.mark.parametrize('name', PAGES)
def test_page_begins_with_one_title_and_a_sentence(name):
    blocks = [block for block in FENCE.sub('|', read(name)).split('\n\n') if block.strip()]
    titles = [block for block in blocks if re.match(r'# ', block)]
    assert blocks[0].startswith('# ') and len(titles) == 1, f'{name}: its first line is not its only title'
    # an example may come before it
    first = next((b for b in blocks[1:] if b != '|' and not b.startswith(('    ', '| '))), '')
    assert re.match(r'[^|#*\s<>:-].*[.:)]', first, re.DOTALL), f'{name}: no sentence says what the page is for'


@pytest.mark.parametrize('name', PAGES)
def test_blocks_stand_apart(name):
    """The site shows a list or a table that follows a line of text at once as more of that text."""
    lines, fenced = read(name).splitlines(), False
    for before, line in zip(lines, lines[1:], strict=False):
        fenced ^= before.startswith('```')
        starts = re.match(r'([*-]|\d+\.) |\|', line)
        if starts and not fenced and before and not re.match(r'([*-]|\d+\.) |\||\s', before):
            raise AssertionError(f'{name}: no empty line before: {line}')


@pytest.mark.parametrize('name', PAGES)
def test_links_stay_on_the_site(name):
    """Of what lies outside of docs/, only the files that docs/site/hooks.py makes pages of are linked."""
    allowed = {(ROOT / f).resolve() for f in ('CONTRIBUTING.md', 'CHANGELOG.md', 'README.md')}
    for link in LINK.findall(FENCE.sub('', read(name))):
        if re.match(r'\w+:|#', link):
            continue
        target = ((ROOT / name).parent / link.partition('#')[0]).resolve()
        assert target in allowed or target.is_relative_to(ROOT / 'docs'), (
            f'{name} links to {link}, outside of docs/'
        )


@pytest.mark.parametrize('name', DOCS)
def test_paths_named_exist(name):
    named = {path for path in PATH.findall(read(name)) if Path(path).name != EXAMPLE}
    missing = sorted(path for path in named if not (ROOT / path).exists())
    assert not missing, f'{name} names {missing}'


@pytest.mark.parametrize('name', [*DOCS, *CONFIGS])
def test_commands_named_exist(name):
    # in blocks a line begins with the command, or with the launcher before it
    called = re.findall(
        r'^(?:.*\bpython -m )?maskprop ([a-z][\w-]*)', '\n'.join(FENCE.findall(read(name))), re.MULTILINE
    )
    unknown = sorted(set(called) - set(COMMANDS))
    assert not unknown, f'{name}: maskprop has no command {", ".join(unknown)}'


@pytest.mark.parametrize('name', [*DOCS, *CONFIGS])
def test_options_named_exist(name):
    for command in commands(read(name)):
        found = TOOL.search(command)  # what is before it, such as docker run, has options of its own
        script, named = found.groups()
        tool = named or script.replace('dist_', '').replace('slurm_', '').replace('.sh', '.py')
        options = set(re.findall(r'(?<!\S)(--[a-z][\w-]*)', command[found.start() :])) - {'--help'}
        unknown = sorted(options - known_options(tool))
        assert not unknown, f'{name} gives {unknown} to {tool}, which has no such option: {command}'


_options: dict[str, set[str]] = {}


def known_options(tool: str) -> set[str]:
    """The options that the --help of ``tools/NAME.py`` or ``maskprop NAME`` lists, and those of its parts."""
    if tool not in _options:
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            call(tool, '--help')
            for part in re.findall(r'{([a-z,]+)} \.\.\.', printed.getvalue())[:1]:
                for name in part.split(','):
                    call(tool, name, '--help')
        _options[tool] = set(re.findall(r'(?<![\w-])(--[a-z][\w-]*)', printed.getvalue()))
    return _options[tool]


def call(tool: str, *arguments: str) -> None:
    argv = [*(('maskprop', tool.split()[1]) if tool.startswith('maskprop ') else (tool,)), *arguments]
    with mock.patch.object(sys, 'argv', argv), pytest.raises(SystemExit):
        main() if argv[0] == 'maskprop' else runpy.run_path(str(ROOT / tool), run_name='__main__')


def test_readme_is_short():
    words = len(read('README.md').split())
    assert words <= MAX_WORDS, f'README.md has {words} words, {MAX_WORDS} at most'


@pytest.mark.parametrize('name', DOCS)
def test_nothing_is_left_to_fill_in(name):
    left = PLACEHOLDER.findall(read(name))
    assert not left, f'{name} still has {left}'


@pytest.mark.parametrize('name', CONFIGS)
def test_config_says_what_it_is_and_how_to_run_it(name):
    docstring = ast.get_docstring(ast.parse(read(name))) or ''
    assert docstring, f'{name} has no docstring'
    if '_base_' not in Path(name).parts:
        models = [model for model in list_models() if find_model(model).config == ROOT / name]
        command = rf'maskprop [\w-]+ ({"|".join([re.escape(name), *models])})\b'
        assert re.search(command, docstring), f'{name} does not give its run command'


def test_table_of_readings_agrees_with_the_configs():
    """docs/methods/maskprop.md: the first `literal` of each cell is that config's value of the key."""
    from mmengine.config import Config

    text = read('docs/methods/maskprop.md')
    configs = [Config.fromfile(ROOT / f) for f in re.findall(r'`(configs/(?:maskprop|demo)/\w+\.py)`', text)[:2]]
    rows = [[cell.strip() for cell in line.split('|')[1:-1]] for line in text.splitlines() if line.startswith('|')]
    rows = [row for row in rows if row[-1].startswith('`model.') and len(row) == 4 and '`' in row[1]]
    assert len(rows) > 15
    for question, *cells, key in rows:
        for cell, config in zip(cells, configs, strict=True):
            said = ast.literal_eval(re.search(r'`([^`]+)`', cell)[1])
            found = config_value(config, key.strip('`'))
            assert said == found, f'{question}: the page says {said!r}, {config.filename} has {found!r}'


def config_value(config, key: str):
    """A key's value, or the default of the class that takes it."""
    from mmdet.registry import MODELS, TASK_UTILS

    import maskprop

    maskprop.register_all()
    *parents, last = key.split('.')
    node = config
    for parent in parents:
        node = node[parent]
    if last in node:
        return tuple(node[last]) if isinstance(node[last], list) else node[last]
    taker = MODELS.get(node.type) or TASK_UTILS.get(node.type)
    takers = [taker, *([taker.FORWARDS] if hasattr(taker, 'FORWARDS') else [])]
    (parameter,) = (found for t in takers if (found := inspect.signature(t).parameters.get(last)))
    return parameter.default


def test_synthetic_page_names_the_default_keys():
    """When this fails the numbers of docs/synthetic.md are of another set: make that and its report anew."""
    from maskprop.datasets.synthetic.scene import SceneSettings

    text, defaults = ' '.join(read('docs/synthetic.md').split()), SceneSettings()
    fewest, most = defaults.objects
    for said in (
        f'{fewest} to {most} objects (`--objects`) of {defaults.categories} categories',
        f'`--colour-correlation` ({defaults.colour_correlation})',
        f'`--speed` ({defaults.speed})',
    ):
        assert said in text, f'docs/synthetic.md does not say: {said}'
