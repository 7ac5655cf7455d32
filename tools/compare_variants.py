"""``maskprop compare-variants`` as a script; ``python tools/compare_variants.py --help`` says what it does."""

from maskprop.commands import run

if __name__ == '__main__':
    run('compare-variants')
