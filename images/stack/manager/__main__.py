"""``python -m manager``."""

from manager.main import main

main()
