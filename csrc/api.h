/* What the extension offers to Python. This file is at once the header of the C code and the cdef that cffi reads, so
 * it holds plain declarations and nothing for the preprocessor; include prelude.h, which adds the types it needs.
 *
 * Buffers in, buffers out: no function allocates, keeps a pointer, or reports through errno. */

/* Canonical form ---------------------------------------------------------------------------------------------------- */

/* Judge whether `data` is exactly one value in the DAG-CBOR profile. 0 means yes; otherwise the offset of the first
 * offending byte times 256 plus one of the reasons below. */
uint64_t mc_canonical(const uint8_t *data, size_t size);

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
    MC_TOO_DEEP
};

/* SHA-256 ----------------------------------------------------------------------------------------------------------- */

void mc_sha256(const uint8_t *data, size_t size, uint8_t *digest);

/* GF(256) with the polynomial x^8 + x^4 + x^3 + x + 1 (AES, SLIP-39) ------------------------------------------------- */

/* Lagrange interpolation, byte by byte. `xs` holds `k` distinct abscissae, `ys` the `k` rows of `size` bytes that belong
 * to them; for each of the `m` abscissae in `at` one row of `size` bytes goes to `out`. No look-up and no branch depends
 * on a byte of `ys`. Returns 0, or 1 if two of `xs` are equal (then `out` is left as it was). */
int mc_gf256_interpolate(const uint8_t *xs, size_t k, const uint8_t *ys, size_t size,
                         const uint8_t *at, size_t m, uint8_t *out);
