"""``python -m identity``."""

import gc

# Nothing that imports make is garbage, and looking for it takes a tenth of them (as in `element`).
gc.disable()

from identity.main import main  # noqa: E402

gc.freeze()
gc.enable()
main()
