"""``python -m manager``."""

import gc

# Nothing that imports make is garbage, and looking for it takes a tenth of them (as in `element`).
gc.disable()

from manager.main import main  # noqa: E402

gc.freeze()
gc.enable()
main()
