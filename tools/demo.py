"""``maskprop demo`` as a script; ``python tools/demo.py --help`` says what it does."""

from maskprop.commands import run

if __name__ == '__main__':
    run('demo')
