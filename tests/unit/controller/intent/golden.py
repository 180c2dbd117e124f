"""Prints golden/NAME.json anew; read what has changed before you commit it.

In the tools image: python3 tests/unit/controller/intent/golden.py NAME
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[4]))

if __name__ == "__main__":
    from tests.unit.controller.intent.conftest import compiled
    from tests.unit.controller.intent.orders import ORDERS

    print(json.dumps(compiled(ORDERS[sys.argv[1]]()), indent=1))
