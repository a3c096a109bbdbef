/* The scan for canonical form, in an extension module of its own (scan_prelude.h says why). As with api.h, this file is
 * both header and cdef. */

/* Judge whether `data` is exactly one value in the DAG-CBOR profile, of at most `most` values in all: itself, and
 * whatever stands in it, keys too. 0 means yes; otherwise the offset of the first offending byte times 256 plus one of
 * the reasons below. */
uint64_t mc_canonical(const uint8_t *data, size_t size, uint64_t most);

enum mc_canonical_reason {
    MC_TRUNCATED = 1,
    MC_TRAILING,
    MC_NOT_SHORTEST,
    MC_INDEFINITE,
    MC_INTEGER_RANGE,
    MC_BAD_UTF8,
    MC_TAG,
    MC_FLOAT,
    MC_SIMPLE,
    MC_KEY_NOT_TEXT,
    MC_KEY_ORDER,
    MC_KEY_TWICE,
    MC_TOO_DEEP,
    MC_TOO_MANY
};
