"""List, print, copy and check the configs.

    maskprop configs ls                       # all; with a word, those whose name or first line has it
    maskprop configs show NAME                # with everything that it inherits
    maskprop configs cp NAME my_config.py     # a copy to edit, which inherits from the installed configs
    maskprop configs validate my_config.py    # every key and value, without data

Wherever a command takes a config, a path or a name from this list will do.
"""

from __future__ import annotations

import argparse
import ast
import re
from pathlib import Path

from maskprop.engine.cfg_options import ConfigOptions
from maskprop.engine.errors import ConfigError
from maskprop.engine.model_files import find_config_file
from maskprop.utils.files import check_writable, replace_when_done
from maskprop.zoo import config_root, list_configs


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Arguments of ``maskprop configs``."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    actions = parser.add_subparsers(dest='action', required=True)
    ls = actions.add_parser('ls', help='list the configs')
    ls.add_argument('word', nargs='?', default='', help='list those that have it in their name or first line')
    show = actions.add_parser('show', help='print a config with everything that it inherits')
    cp = actions.add_parser('cp', help='copy a config, to edit it')
    validate = actions.add_parser('validate', help='check keys and values, without data')
    for action in (show, cp, validate):
        action.add_argument('config', help='name or path')
    for action in (show, validate):
        action.add_argument('--cfg-options', nargs='+', action=ConfigOptions, metavar='KEY=VALUE')
    cp.add_argument('out', nargs='?', help='file or folder to write (default: here, under its own name)')
    cp.add_argument('--overwrite', action='store_true', help='replace a file that is there')
    return parser.parse_args(argv)


def list_all(args: argparse.Namespace) -> None:
    """Name and first line of each config, by folder."""
    root, rows = config_root() / 'configs', []
    for path in list_configs():
        summary = (ast.get_docstring(ast.parse(path.read_text(encoding='utf-8'))) or '').partition('\n')[0]
        if args.word.lower() in f'{path.stem} {summary}'.lower():
            rows.append((path.parent.relative_to(root).as_posix(), path.stem, summary))
    if not rows:
        raise ConfigError(f'configs ls {args.word}: no config has this in its name or first line')
    width = max(len(name) for _, name, _ in rows)
    folder = None
    for where, name, summary in rows:
        if where != folder:
            print(f'{"" if folder is None else chr(10)}{where}')
            folder = where
        print(f'  {name:{width}}  {summary}'.rstrip())


def show(args: argparse.Namespace) -> None:
    """Print a config with everything that it inherits."""
    find_config_file(args.config)
    from maskprop.engine.config import load_config

    print(load_config(args.config, args.cfg_options).pretty_text)


def validate(args: argparse.Namespace) -> None:
    """Check a config's keys and values, and build its model, without data and weights."""
    find_config_file(args.config)
    from maskprop.engine.config import load_config
    from maskprop.engine.config_types import check_types
    from maskprop.engine.model_check import check_model

    cfg = load_config(args.config, args.cfg_options)
    check_types(cfg)
    variants = {f'variants.{name}': options for name, options in (cfg.get('variants') or {}).items()}
    try:
        check_model(cfg, {'model': {}, **variants})
    except ImportError as error:  # of a library that is optional
        print(f'note: {error}')
    print(
        f'{args.config}: keys and values are good, and its model can be built. Data is checked by maskprop train'
    )


def copy(args: argparse.Namespace) -> None:
    """A copy whose ``_base_`` are those of the installed package, so that it works anywhere."""
    source = find_config_file(args.config)
    if source.suffix != '.py':
        raise ConfigError(f'configs cp: {source}: is no Python file; copied are configs, NAME.py')
    out = Path(args.out or source.name)
    out = out / source.name if out.is_dir() else out
    if out.suffix != '.py':
        raise ConfigError(f'configs cp: {out}: expected a folder, or a file name that ends in .py')
    if out.exists() and not args.overwrite:
        raise ConfigError(f'configs cp: {out} is there already. Give another name, or --overwrite')
    check_writable(out, 'configs cp', sources=[source])
    try:
        text = with_installed_bases(source)
    except (SyntaxError, ValueError) as error:  # ValueError: characters that are none, null bytes
        raise ConfigError(f'configs cp: {source}: is no Python that can be read: {error}') from None
    with replace_when_done(out) as temporary:
        temporary.write_text(text, encoding='utf-8')
    print(f'{out}: edit it, then: maskprop {"ablate" if _assigned(text, "study") else "train"} {out}')


def with_installed_bases(source: Path) -> str:
    """A config's text, with ``'../_base_/x.py'`` as ``'maskprop::_base_/x.py'``, or as whole paths if not ours."""
    text, root = source.read_text(encoding='utf-8'), (config_root() / 'configs').resolve()
    text = re.sub(r'\{\{\s*fileDirname\s*\}\}', lambda _: source.parent.resolve().as_posix(), text)
    lines = text.splitlines(keepends=True)
    for base in sorted(_bases(text), key=lambda node: (node.lineno, node.col_offset), reverse=True):
        file = str(base.value)
        if '::' in file:
            continue
        path = (source.parent / file).resolve()
        name = f'maskprop::{path.relative_to(root).as_posix()}' if path.is_relative_to(root) else str(path)
        # offsets of nodes are in bytes; a base's string is on one line
        line = lines[base.lineno - 1].encode()
        lines[base.lineno - 1] = (
            line[: base.col_offset] + repr(name).encode() + line[base.end_col_offset :]
        ).decode()
    return ''.join(lines)


def _bases(text: str) -> list[ast.Constant]:
    """The strings of ``_base_ = ...``."""
    found = _assigned(text, '_base_')
    nodes = [] if found is None else ast.walk(found)
    return [node for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str)]


def _assigned(text: str, name: str) -> ast.expr | None:
    """What a config assigns to a key; None: nothing."""
    for node in ast.parse(text).body:
        if isinstance(node, ast.Assign) and any(getattr(target, 'id', None) == name for target in node.targets):
            return node.value
    return None


ACTIONS = dict(ls=list_all, show=show, cp=copy, validate=validate)


def main() -> None:
    """Do ``maskprop configs``."""
    args = parse_args()
    ACTIONS[args.action](args)
