/* What the extension offers to Python. This file is at once the header of the C code and the cdef that cffi reads, so
 * it holds plain declarations and nothing for the preprocessor; include prelude.h, which adds the types that it needs.
 *
 * Buffers in, buffers out: no function allocates, keeps a pointer, or reports through errno. */

/* SHA-256 ----------------------------------------------------------------------------------------------------------- */

void mc_sha256(const uint8_t *data, size_t size, uint8_t *digest);

/* out[i] = H(message i), or H(prefix || message i) where `prefix` is not negative, for `count` messages. Either all have
 * `size` bytes and lie end to end in `data`, and `offsets` is NULL; or message i is data[offsets[i] .. offsets[i + 1]],
 * and `size` is not read. `out` may be `data` where no message is shorter than a digest. */
void mc_hash_many(int prefix, const uint8_t *data, size_t size, const uint64_t *offsets, size_t count, uint8_t *out);

/* Kernels by rank, the fastest first; NULL behind the last. Each is named after its instruction set. */
const char *mc_kernel_name(size_t rank);
int mc_kernel_usable(size_t rank);

/* The rank of the kernel in use. */
size_t mc_kernel(void);

/* Use the kernel of this rank from now on, in all threads. Returns 0, or 1 if this processor lacks it. */
int mc_force_kernel(size_t rank);

/* Use the fastest kernel that this processor has, as at the start. */
void mc_free_kernel(void);

/* GF(256) with the polynomial x^8 + x^4 + x^3 + x + 1 (AES, SLIP-39) ------------------------------------------------- */

/* Lagrange interpolation, byte by byte. `xs` holds `k` distinct abscissae, `ys` the `k` rows of `size` bytes that belong
 * to them; for each of the `m` abscissae in `at` one row of `size` bytes goes to `out`. No look-up and no branch depends
 * on a byte of `ys`. Returns 0, or 1 if two of `xs` are equal (then `out` is left as it was). */
int mc_gf256_interpolate(const uint8_t *xs, size_t k, const uint8_t *ys, size_t size,
                         const uint8_t *at, size_t m, uint8_t *out);

/* The RFC 9162 tree --------------------------------------------------------------------------------------------------- */

/* out[i] = H(0x01 || children[2i] || children[2i + 1]), for `pairs` pairs. `out` may be `children`. */
void mc_node_hashes(const uint8_t *children, size_t pairs, uint8_t *out);

/* Append `count` leaf hashes to a tree of `size` leaves. `nodes` has a row of 32 bytes for each of 64 levels; the rows
 * at the bits of the size hold the complete nodes. `hashes` is used up as working space. */
void mc_tree_append(uint8_t *nodes, uint64_t size, uint8_t *hashes, size_t count);

/* The root of such a tree. */
void mc_tree_root(const uint8_t *nodes, uint64_t size, uint8_t *root);
