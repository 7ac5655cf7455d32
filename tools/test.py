"""``maskprop test`` as a script; ``python tools/test.py --help`` says what it does."""

from maskprop.commands import run

if __name__ == '__main__':
    run('test')
