"""libnftables(3), the library behind nft(8): the same commands without a process each, which costs forty times as much.

Every call has a context of its own, so it speaks for the network namespace of the thread that calls.
"""

from __future__ import annotations

import ctypes
import threading
from functools import cache

_JSON = 1 << 4  # NFT_CTX_OUTPUT_JSON
_one_at_a_time = threading.Lock()  # the library does not promise more


class NftError(RuntimeError):
    """nft refused a transaction; nothing has changed."""


@cache
def _library() -> ctypes.CDLL:
    found = ctypes.CDLL("libnftables.so.1")
    context = ctypes.c_void_p
    found.nft_ctx_new.restype = context
    found.nft_ctx_new.argtypes = [ctypes.c_uint32]
    found.nft_ctx_output_set_flags.argtypes = [context, ctypes.c_uint]
    found.nft_run_cmd_from_buffer.argtypes = [context, ctypes.c_char_p]
    for name in ("nft_ctx_buffer_output", "nft_ctx_buffer_error", "nft_ctx_free"):
        getattr(found, name).argtypes = [context]
    for name in ("nft_ctx_get_output_buffer", "nft_ctx_get_error_buffer"):
        getattr(found, name).argtypes = [context]
        getattr(found, name).restype = ctypes.c_char_p
    return found


def run(commands: str, *, json: bool = False) -> str:
    """What nft answers to commands, which are one transaction; `json` as nft's option of that name.

    Raises:
        NftError: with the first line of what it says.
    """
    library = _library()
    with _one_at_a_time:
        context = library.nft_ctx_new(0)
        if not context:
            raise NftError("nft: no context: the kernel has no nf_tables, or memory is short")
        try:
            library.nft_ctx_buffer_output(context)
            library.nft_ctx_buffer_error(context)
            library.nft_ctx_output_set_flags(context, _JSON if json else 0)
            status = library.nft_run_cmd_from_buffer(context, commands.encode())
            said: bytes = library.nft_ctx_get_output_buffer(context)
            complaint: bytes = library.nft_ctx_get_error_buffer(context)
        finally:
            library.nft_ctx_free(context)
    if status:
        raise NftError(f"nft: {complaint.decode(errors='replace').partition(chr(10))[0] or status}")
    return said.decode()
