"""``python -m gro``."""

import gc

# Nothing that imports make is garbage, and looking for it takes a tenth of them (as in `element`).
gc.disable()

from gro.main import run  # noqa: E402

gc.freeze()
gc.enable()
run()
