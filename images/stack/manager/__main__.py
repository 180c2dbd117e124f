"""``python -m manager``."""

import gc

# As `python -m element` does: nothing that imports make is garbage.
gc.disable()

from manager.main import main  # noqa: E402

gc.freeze()
gc.enable()
main()
