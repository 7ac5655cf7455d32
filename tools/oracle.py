"""``maskprop oracle`` as a script; ``python tools/oracle.py --help`` says what it does."""

from maskprop.commands import run

if __name__ == '__main__':
    run('oracle')
