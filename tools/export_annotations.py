"""``maskprop export`` as a script; ``python tools/export_annotations.py --help`` says what it does."""

from maskprop.commands import run

if __name__ == '__main__':
    run('export')
