"""``python -m maskprop``: the console command without its script, for environments that are not activated."""

from maskprop.commands import main

main()
