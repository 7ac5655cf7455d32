"""What mkdocs does beside mkdocs.yml: the version in the title, pages outside of docs/, notebooks as pages."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from nbconvert import MarkdownExporter

ROOT = Path(__file__).resolve().parents[2]
OUTSIDE = {'CONTRIBUTING.md': 'contributing.md', 'CHANGELOG.md': 'changelog.md', 'README.md': 'index.md'}


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    text = (ROOT / 'maskprop/__init__.py').read_text(encoding='utf-8')
    version = re.search(r"^__version__ = '([^']+)'", text, re.MULTILINE)[1]
    config.site_name = f'maskprop {version}'
    config.copyright = f'maskprop {version}, Apache License 2.0'
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    for name in ('CONTRIBUTING.md', 'CHANGELOG.md'):
        text = (ROOT / name).read_text(encoding='utf-8').replace('](docs/', '](')
        for other, page in OUTSIDE.items():
            text = text.replace(f']({other}', f']({page}')
        files.append(File.generated(config, OUTSIDE[name], content=text))
    for notebook in [file for file in files if file.src_uri.endswith('.ipynb')]:
        for name, content in notebook_page(notebook):
            files.append(File.generated(config, name, content=content))
    return files


def notebook_page(notebook: File) -> Iterator[tuple[str, str | bytes]]:
    """The page of a notebook as it is kept, not run again, and its pictures."""
    stem = notebook.src_uri.removesuffix('.ipynb')
    text, resources = MarkdownExporter().from_filename(notebook.abs_src_path)
    for name, content in resources['outputs'].items():
        text = text.replace(f']({name})', f']({Path(stem).name}-{name})')
        yield f'{stem}-{name}', content
    title, _, rest = text.lstrip().partition('\n')
    note = f'This page is a notebook, shown as it was run: [download it]({Path(stem).name}.ipynb).'
    yield f'{stem}.md', f'{title}\n\n{note}\n\n{rest}'


def on_page_markdown(markdown: str, page, **_) -> str:
    """Links to files of OUTSIDE and to notebooks lead to their pages."""
    up = '../' * page.file.src_uri.count('/')
    for name, target in OUTSIDE.items():
        markdown = markdown.replace(f']({up}../{name}', f']({up}{target}')
    return re.sub(r'(?<!download it)\]\(([\w./]+)\.ipynb\)', r'](\1.md)', markdown)
