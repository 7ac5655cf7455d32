"""``maskprop check`` as a script; ``python tools/check_dataset.py --help`` says what it does."""

from maskprop.commands import run

if __name__ == '__main__':
    run('check')
