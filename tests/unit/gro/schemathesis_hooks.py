"""What schemathesis has to know of our formats to make good data (SCHEMATHESIS_HOOKS)."""

import schemathesis
from hypothesis import strategies as st

schemathesis.openapi.format(
    "ipv4-interface",
    st.builds("10.{}.{}.{}/24".format, st.integers(0, 255), st.integers(0, 255), st.integers(1, 254)),
)
