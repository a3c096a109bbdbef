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
    MC_TOO_MANY: Final[int]

    def mc_canonical(self, data: Any, size: int, most: int, /) -> int: ...

lib: _Lib
