"""``maskprop split`` as a script; ``python tools/split_dataset.py --help`` says what it does."""

from maskprop.commands import run

if __name__ == '__main__':
    run('split')
