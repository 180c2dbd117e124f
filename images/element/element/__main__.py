"""``python -m element``."""

import gc

# Imports make hundreds of thousands of objects that stay: looking for garbage among them takes a tenth of the start.
gc.disable()

from element.main import main  # noqa: E402

gc.freeze()
gc.enable()
main()
