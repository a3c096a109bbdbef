from typing import Any

class _Lib:
    def mc_sha256(self, data: Any, size: int, digest: Any, /) -> None: ...
    def mc_hash_many(
        self, prefix: int, data: Any, size: int, offsets: Any, count: int, out: Any, /
    ) -> None: ...
    def mc_kernel_name(self, rank: int, /) -> Any: ...
    def mc_kernel_usable(self, rank: int, /) -> int: ...
    def mc_kernel(self) -> int: ...
    def mc_force_kernel(self, rank: int, /) -> int: ...
    def mc_free_kernel(self) -> None: ...
    def mc_gf256_interpolate(
        self, xs: bytes, k: int, ys: Any, size: int, at: bytes, m: int, out: Any, /
    ) -> int: ...
    def mc_node_hashes(self, children: Any, pairs: int, out: Any, /) -> None: ...
    def mc_tree_append(self, nodes: Any, size: int, hashes: Any, count: int, /) -> None: ...
    def mc_root_of_hashes(self, hashes: Any, count: int, root: Any, /) -> None: ...
    def mc_tree_root(self, nodes: Any, size: int, root: Any, /) -> None: ...
    def mc_map_top_size(self, levels: int, /) -> int: ...
    def mc_map_keep(
        self, top: Any, top_size: int, nodes: Any, spans: Any, count: int, root: bytes, version: int, /
    ) -> None: ...
    def mc_map_missing(
        self,
        top: Any,
        top_size: int,
        nodes: bytes,
        offsets: Any,
        count: int,
        root: bytes,
        numbers: Any,
        changes: bytes,
        change_count: int,
        bar: int,
        budget: int,
        wanted: Any,
        capacity: int,
        /,
    ) -> int: ...
    def mc_map_change(
        self,
        top: Any,
        top_size: int,
        nodes: bytes,
        offsets: Any,
        count: int,
        work: Any,
        root: Any,
        numbers: Any,
        changes: bytes,
        change_count: int,
        bar: int,
        budget: int,
        out: Any,
        capacity: int,
        spans: Any,
        spans_capacity: int,
        /,
    ) -> int: ...
    def mc_map_prove(
        self,
        nodes: bytes,
        offsets: Any,
        count: int,
        root: bytes,
        key: bytes,
        siblings: Any,
        end: Any,
        numbers: Any,
        /,
    ) -> int: ...

class _FFI:
    NULL: Any
    def from_buffer(self, cdecl: str, buffer: Any, require_writable: bool = False) -> Any: ...
    def string(self, text: Any, /) -> bytes: ...
    def new(self, cdecl: str, init: Any = None) -> Any: ...
    def new_allocator(self, *, should_clear_after_alloc: bool = True) -> Any: ...
    def buffer(self, cdata: Any, size: int = -1) -> Any: ...
    def unpack(self, cdata: Any, length: int) -> list[int]: ...

lib: _Lib
ffi: _FFI
