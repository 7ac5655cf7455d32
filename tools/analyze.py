"""``maskprop analyze`` as a script; ``python tools/analyze.py --help`` says what it does."""

from maskprop.commands import run

if __name__ == '__main__':
    run('analyze')
