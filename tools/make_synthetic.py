"""``maskprop synthetic`` as a script; ``python tools/make_synthetic.py --help`` says what it does."""

from maskprop.commands import run

if __name__ == '__main__':
    run('synthetic')
