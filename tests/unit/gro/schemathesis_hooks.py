"""What schemathesis has to know of our formats to make good data (SCHEMATHESIS_HOOKS)."""

import schemathesis
from hypothesis import strategies as st

schemathesis.openapi.format(
    "ipv4-interface",
    st.builds("10.{}.{}.{}/24".format, st.integers(0, 255), st.integers(0, 255), st.integers(1, 254)),
)
schemathesis.openapi.format(
    "ipv6-interface", st.builds("2001:db8:{:x}::{:x}/64".format, st.integers(0, 65535), st.integers(1, 65535))
)
schemathesis.openapi.format("ip-address", st.builds("10.{}.{}.{}".format, *[st.integers(0, 255)] * 3))
schemathesis.openapi.format("ip-prefix", st.builds("10.{}.{}.0/24".format, *[st.integers(0, 255)] * 2))
schemathesis.openapi.format("ports", st.integers(1, 65535).map(str))
