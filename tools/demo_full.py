"""``maskprop demo-full`` as a script; ``python tools/demo_full.py --help`` says what it does."""

from maskprop.commands import run

if __name__ == '__main__':
    run('demo-full')
