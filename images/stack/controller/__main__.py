"""``python -m controller``."""

import gc

# As `python -m element` does: nothing that imports make is garbage.
gc.disable()

from controller.main import main  # noqa: E402

gc.freeze()
gc.enable()
main()
