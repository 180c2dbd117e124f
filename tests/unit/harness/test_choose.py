"""The kernel decides which host a lab gets, by what was tried."""

from __future__ import annotations

from harness.host import choose

ALL = ("bridge", "mirred", "overlayfs", "esp", "gre", "vxlan")


def test_a_kernel_that_can_do_all_is_used() -> None:
    assert choose({"esp", "gre"}, dict.fromkeys(ALL, ""))[0] == "local"


def test_a_kernel_that_lacks_something_gets_a_lab_kernel_and_the_reason_names_it() -> None:
    kind, reason = choose({"esp", "gre"}, {**dict.fromkeys(ALL, ""), "gre": "not supported"})
    assert (kind, reason) == ("lab-kernel", "this machine's kernel lacks gre")


def test_what_no_lab_can_do_without_counts_always() -> None:
    assert choose(set(), {**dict.fromkeys(ALL, ""), "mirred": "no"})[0] == "lab-kernel"


def test_a_need_that_was_never_probed_is_not_assumed() -> None:
    assert choose({"time-travel"}, dict.fromkeys(ALL, ""))[0] == "lab-kernel"
