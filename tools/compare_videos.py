"""``maskprop compare-videos`` as a script; ``python tools/compare_videos.py --help`` says what it does."""

from maskprop.commands import run

if __name__ == '__main__':
    run('compare-videos')
