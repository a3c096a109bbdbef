/* The RFC 9162 tree over leaf hashes: pairs in bulk, and the root in memory that does not grow with the tree. */

#include "prelude.h"

#include <string.h>

#define HASH 32

/* Subtrees of this level are hashed level by level, which keeps every lane of the kernel busy and fits into the
 * processor's first cache (8 KiB). */
#define BULK_LEVEL 8

void mc_node_hashes(const uint8_t *children, size_t pairs, uint8_t *out) {
    mc_hash_many(0x01, children, 2 * HASH, NULL, pairs, out);
}

static void join(const uint8_t *left, const uint8_t *right, uint8_t *out) {
    uint8_t pair[2 * HASH];
    memcpy(pair, left, HASH);
    memcpy(pair + HASH, right, HASH);
    mc_node_hashes(pair, 1, out);
}

/* The level of the largest complete subtree that may start at leaf `size` and has no more than `count` leaves. */
static unsigned next_level(uint64_t size, size_t count) {
    unsigned level = 0;
    while (level < BULK_LEVEL && !(size >> level & 1) && count >> (level + 1) != 0)
        level++;
    return level;
}

void mc_tree_append(uint8_t *nodes, uint64_t size, uint8_t *hashes, size_t count) {
    while (count > 0) {
        unsigned level = next_level(size, count);
        size_t leaves = (size_t)1 << level;
        for (size_t pairs = leaves / 2; pairs > 0; pairs /= 2)
            mc_node_hashes(hashes, pairs, hashes);
        for (; size >> level & 1; level++)
            join(nodes + HASH * level, hashes, hashes);
        memcpy(nodes + HASH * level, hashes, HASH);
        size += leaves;
        hashes += HASH * leaves;
        count -= leaves;
    }
}

void mc_tree_root(const uint8_t *nodes, uint64_t size, uint8_t *root) {
    if (size == 0) {
        mc_sha256(NULL, 0, root);
        return;
    }
    unsigned level = 0;
    while (!(size >> level & 1))
        level++;
    memcpy(root, nodes + HASH * level, HASH);
    for (level++; level < 64; level++)
        if (size >> level & 1)
            join(nodes + HASH * level, root, root);
}

void mc_root_of_hashes(uint8_t *hashes, size_t count, uint8_t *root) {
    uint8_t nodes[64 * HASH]; /* only the rows at the bits of the size are written, and read */
    mc_tree_append(nodes, 0, hashes, count);
    mc_tree_root(nodes, count, root);
}
