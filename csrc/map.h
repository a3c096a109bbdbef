/* What the files of the packed sparse map share: nodes as they are stored, the walk over them, and hashing in bulk. The
 * layout of a node, and what the functions for Python do, is in api.h.
 *
 * A subtree of at most 32 rows is a bucket, any larger one a branch of sixteen, so the packing depends on the rows alone.
 * What is stored is checked before it is built on: lengths, order and counts before anything is read, and the hash against
 * that in the branch above. */

#ifndef MEDCHAIN_MAP_H
#define MEDCHAIN_MAP_H

#include "prelude.h"

#include <stdbool.h>
#include <string.h>

enum { BUCKET = 1, BRANCH = 2 };
enum {
    HASH = 32,
    ROW = 2 * HASH, /* row key || hash of the value */
    FAN = 16,
    NIBBLES = 64,
    BUCKET_ROWS = 32,
    CHILD = HASH + 3 * 8, /* a subtree as its branch knows it */
    TOP_LEVELS = 4,
};

extern const uint8_t mc_map_empty[HASH];

/* Nodes (map_node.c) -------------------------------------------------------------------------------------------------- */

/* A subtree as the node above it knows it: `version` is that of its node, `oldest` the least in the whole subtree. */
struct child {
    const uint8_t *hash;
    uint64_t version, oldest, count;
};

/* A stored node whose lengths are known to be right. */
struct node {
    bool branch;
    size_t rows;         /* of a bucket */
    const uint8_t *data; /* its rows, or the first of its children */
    unsigned present;    /* of a branch: a bit for each child, the first the highest */
};

/* Read a node that lies `depth` nibbles down at `path`; false if it is none. Only the root may be empty. */
bool mc_map_read(const uint8_t *data, size_t size, const uint8_t *path, unsigned depth, struct node *node);

/* The same for a node that has been read before: only its lengths and its path are looked at. */
bool mc_map_read_checked(const uint8_t *data, size_t size, const uint8_t *path, unsigned depth, struct node *node);

/* Children by nibble; those that are not there count no rows. Their hashes stay where they are. */
void mc_map_children(const struct node *node, struct child children[FAN]);

/* A child in 56 bytes. The hash may be NULL: it is left as it is. */
void mc_map_write_child(uint8_t *at, const uint8_t *hash, uint64_t version, uint64_t oldest, uint64_t count);

uint64_t mc_map_rows_in(const struct child *children, unsigned count);

/* The branch at `path` if it is kept in `top`, of this version and with this hash. */
bool mc_map_at_hand(const uint8_t *top, size_t top_size, const struct child *self, const uint8_t *path, unsigned depth,
                    struct node *node);

/* Numbers are big-endian. */
static inline uint64_t map_read64(const uint8_t *p) {
    uint64_t x;
    memcpy(&x, p, sizeof x);
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    x = __builtin_bswap64(x);
#endif
    return x;
}

static inline void map_write64(uint8_t *p, uint64_t x) {
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    x = __builtin_bswap64(x);
#endif
    memcpy(p, &x, sizeof x);
}

static inline unsigned map_nibble(const uint8_t *key, unsigned depth) {
    return depth % 2 ? key[depth / 2] & 15 : key[depth / 2] >> 4;
}

static inline bool map_bit(const uint8_t *key, unsigned depth) { return key[depth / 8] >> (7 - depth % 8) & 1; }

/* Where two different keys part, in bits; the last bit if they are equal. */
static inline unsigned map_split(const uint8_t *a, const uint8_t *b) {
    unsigned byte = 0;
    while (byte < HASH - 1 && a[byte] == b[byte])
        byte++;
    unsigned bit = 8 * byte;
    for (unsigned differ = a[byte] ^ b[byte]; differ < 0x80 && bit % 8 < 7; differ <<= 1)
        bit++;
    return bit;
}

/* Hashing in bulk (map_hash.c) ---------------------------------------------------------------------------------------- */

/* A subtree of a tree that is to be hashed. */
struct part {
    const uint8_t *key;  /* of a row in it */
    const uint8_t *hash; /* NULL: of the row at `key`, and still to be made */
    unsigned depth;      /* of its hash, in bits; SINGLE for a single row, whose hash is the same at every depth */
    unsigned first;      /* set by the hashing: where it began among the parts */
};

enum { SINGLE = 1024 };

/* Subtrees in order, no two of which hold one another, and where the hash of the tree over them goes. */
struct tree {
    bool full; /* over all sixteen children of a branch */
    unsigned count, depth;
    unsigned skipped; /* bits at the front that the keys leave out */
    struct part parts[BUCKET_ROWS];
    uint8_t *to;
    uint8_t *leaves;  /* if not NULL, the hash of row i goes here, too, */
    uint8_t *joins;   /* and that over all that part when their keys do between i and i + 1, at the bit where they do */
    uint8_t own[BUCKET_ROWS][HASH];
    uint16_t splits[BUCKET_ROWS];
};

enum { TREES = 16 }; /* hashed at once */

/* Hash at most TREES trees, in step: what does not wait for anything is hashed together. */
void mc_map_hash_trees(struct tree *trees, size_t count);

/* The tree over rows in order, all different. */
void mc_map_tree_of_rows(struct tree *tree, const uint8_t *rows, size_t count, unsigned depth, uint8_t *to);

/* The tree over `count` neighbouring children, 1, 2, 4, 8 or 16, of a branch at `depth` nibbles. */
void mc_map_tree_of_children(struct tree *tree, const struct child *children, unsigned count, unsigned depth, uint8_t *to);

/* Hash nodes that lie end to end. `work` is as long as they are, and gets what can be used again: for each bucket, where
 * its rows are in `nodes`, the hashes of its rows and those between them (see `joins` above). Returns false if one of the
 * nodes is none. */
bool mc_map_hash_nodes(const uint8_t *nodes, const uint64_t *offsets, size_t count, uint8_t *work);

/* The hash of one of these nodes. */
const uint8_t *mc_map_hash_of(const struct node *node, const uint8_t *nodes, const uint8_t *work);

/* The walk (map_walk.c) ----------------------------------------------------------------------------------------------- */

/* Over the nodes that a batch of changes touches, in preorder. */
struct walk {
    const uint8_t *top;
    size_t top_size;
    const uint8_t *nodes;
    const uint64_t *offsets;
    size_t count, next; /* loaded nodes, in preorder; all before `next` have been passed */
    bool checked;       /* they have been read before */
    uint64_t bar, budget;
    bool damaged;
    uint8_t path[NIBBLES];
};

/* Sorted changes: a row each, whose value hash is all zero where the row is removed. */
struct changes {
    const uint8_t *rows;
    size_t count;
};

enum found { ABSENT, AT_HAND, LOADED };

/* Find the node at the walk's path. What is at hand is known to have the hash that its branch says. */
enum found mc_map_find(struct walk *walk, const struct child *self, unsigned depth, struct node *node);

/* Whether the walk goes into a child: it is changed, or its rows are needed, or it is old enough to be written anew. */
bool mc_map_enters(struct walk *walk, const struct child *child, size_t changes, bool whole);

/* Whether a branch may shrink to a bucket, so that all its rows must be at hand. */
bool mc_map_may_shrink(const struct child *self, struct changes changes);

/* Cut off the changes at the front that turn to `way` at `depth`. */
struct changes mc_map_cut(struct changes *rest, unsigned way, unsigned depth);

bool mc_map_removes(const uint8_t *change);

/* Rows of a bucket (map_rows.c) --------------------------------------------------------------------------------------- */

/* Rows of an old bucket, or of a part of it: with the hashes of their leaves, where neighbours part in bits, and the hashes
 * over all that part there. */
struct rows {
    const uint8_t *rows, *leaves, *joins;
    const uint16_t *splits;
    size_t count;
};

/* What a bucket will hold: rows, and the subtrees that they come in, old ones as they were. */
struct gather {
    bool lost; /* there are more rows, or some were not at hand */
    size_t count;
    const uint8_t *rows[BUCKET_ROWS];
    unsigned part_count;
    struct part parts[BUCKET_ROWS];
};

/* Cut off the rows at the front that turn to `way` at `depth`. */
struct rows mc_map_cut_rows(struct rows *rest, unsigned way, unsigned depth);

/* How many rows there are after changes. */
size_t mc_map_count_after(struct rows rows, struct changes changes);

/* Gather rows after changes, of which the caller knows that they find room. */
void mc_map_merge(struct gather *out, struct rows rows, struct changes changes);

#endif
