"""``maskprop browse`` as a script; ``python tools/browse_dataset.py --help`` says what it does."""

from maskprop.commands import run

if __name__ == '__main__':
    run('browse')
