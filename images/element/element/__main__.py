"""``python -m element``."""

from element.main import main

main()
