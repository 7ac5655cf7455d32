"""``maskprop ablate`` as a script; ``python tools/ablate.py --help`` says what it does."""

from maskprop.commands import run

if __name__ == '__main__':
    run('ablate')
