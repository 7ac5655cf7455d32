"""``maskprop train`` as a script; ``python tools/train.py --help`` says what it does."""

from maskprop.commands import run

if __name__ == '__main__':
    run('train')
