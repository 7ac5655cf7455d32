"""``maskprop verify-goldens`` as a script; ``python tools/verify_goldens.py --help`` says what it does."""

from maskprop.commands import run

if __name__ == '__main__':
    run('verify-goldens')
