from typing import Any, Final

class _Lib:
    MC_TRUNCATED: Final[int]
    MC_TRAILING: Final[int]
    MC_NOT_SHORTEST: Final[int]
    MC_INDEFINITE: Final[int]
    MC_INTEGER_RANGE: Final[int]
    MC_BAD_UTF8: Final[int]
    MC_TAG: Final[int]
    MC_FLOAT: Final[int]
    MC_SIMPLE: Final[int]
    MC_KEY_NOT_TEXT: Final[int]
    MC_KEY_ORDER: Final[int]
    MC_KEY_TWICE: Final[int]
    MC_TOO_DEEP: Final[int]

    def mc_canonical(self, data: Any, size: int, /) -> int: ...
    def mc_sha256(self, data: Any, size: int, digest: Any, /) -> None: ...
    def mc_gf256_interpolate(
        self, xs: bytes, k: int, ys: Any, size: int, at: bytes, m: int, out: Any, /
    ) -> int: ...

class _FFI:
    NULL: Any
    def from_buffer(self, cdecl: str, buffer: Any, require_writable: bool = False, /) -> Any: ...

lib: _Lib
ffi: _FFI
