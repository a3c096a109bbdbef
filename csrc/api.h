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

/* The root over `count` leaf hashes at once. `hashes` is used up as working space. */
void mc_root_of_hashes(uint8_t *hashes, size_t count, uint8_t *root);

/* The packed sparse map ------------------------------------------------------------------------------------------------
 *
 * A node is kind (1 byte: 1 bucket, 2 branch) || depth (1 byte, in nibbles) || path (a byte for each nibble) || body. The
 * body of a bucket is its rows in order, 64 bytes each: row key || hash of the value. That of a branch is 2 bytes with a
 * bit for each of its 16 children, the first the highest, and for each that is there 56 bytes: hash, version of its node,
 * least version in its subtree, number of rows (1 to 2^58); numbers are 8 bytes, big-endian. A subtree of 1 to 32 rows is
 * a bucket, a larger one a branch; only the root may be an empty bucket.
 *
 * Nodes lie end to end in `nodes`, node i at offsets[i] .. offsets[i + 1], in preorder: as their paths compare. Changes are
 * rows in order, whose value hash is all zero where a row is removed. Subtrees whose least version is at most `bar` are
 * written anew as if changed, `budget` nodes at most.
 *
 * `top` holds branches of the first four levels from batch to batch, so that they need not be loaded and hashed again: a
 * slot for each path, level by level, and in it the last branch that was kept there. It may have any number of bytes; what
 * does not fit is not kept. The map is `root`, its hash, and numbers: [0] the version of its root, [1] how many rows. */

/* The size of a top for so many levels. */
size_t mc_map_top_size(unsigned levels);

/* Keep the branches among the new nodes of a batch (`mc_map_change`), whose root and version these are. */
void mc_map_keep(uint8_t *top, size_t top_size, const uint8_t *nodes, const uint64_t *spans, size_t count,
                 const uint8_t *root, uint64_t version);

/* Which nodes the changes need beside those at hand. Writes for each depth (1 byte) || version (8 bytes) || path to
 * `wanted`, and returns how many bytes that takes, also where `capacity` is less; 0 where nothing is missing, -1 if a node
 * is damaged. numbers[2] becomes the number of branches among them, which may need further ones. */
int64_t mc_map_missing(const uint8_t *top, size_t top_size, const uint8_t *nodes, const uint64_t *offsets, size_t count,
                       const uint8_t *root, uint64_t *numbers, const uint8_t *changes, size_t change_count,
                       uint64_t bar, uint64_t budget, uint8_t *wanted, size_t capacity);

/* Apply changes; all nodes that they need are at hand. `work` is as long as `nodes`. `root` becomes the hash of the map
 * after the changes. numbers: in [2] the version of new nodes; out [1] how many rows there are, [3] the least version in
 * the tree, [4] bytes and [5] number of the new nodes. Those go to `out` in preorder, each behind its key, which is its
 * version (8 bytes) || path; the key of node i begins at spans[3 * i], the node at spans[3 * i + 1], and it ends at
 * spans[3 * i + 2]. Returns 0; 1 if `out` or `spans`, with room for so many nodes, is too small, with [4] and [5] said; -1
 * if a node is damaged or missing. */
int mc_map_change(const uint8_t *top, size_t top_size, const uint8_t *nodes, const uint64_t *offsets, size_t count,
                  uint8_t *work, uint8_t *root, uint64_t *numbers, const uint8_t *changes, size_t change_count,
                  uint64_t bar, uint64_t budget, uint8_t *out, size_t capacity, uint64_t *spans, size_t spans_capacity);

/* Prove what stands at `key` of the map with this root. The nodes are those on its way, from the root down. Returns 0 when
 * they suffice: numbers[0] hashes are in `siblings` (room for 256), from the root down, and the row in which the path ends is
 * in `end` if numbers[1] is 1; if it is 0 the path ends in an empty subtree. Returns 1 if another node is needed, of version
 * numbers[2], a nibble numbers[3] below the last; -1 if a node is damaged. */
int mc_map_prove(const uint8_t *nodes, const uint64_t *offsets, size_t count, const uint8_t *root, const uint8_t *key,
                 uint8_t *siblings, uint8_t *end, uint64_t *numbers);
