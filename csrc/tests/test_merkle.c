/* The root in bounded memory is the root however the leaves are portioned out. */

#include "prelude.h"
#include "check.h"

#include <string.h>

enum { LEAVES = 1100 };

static uint8_t hashes[32 * LEAVES];

/* The root by the recursive definition (RFC 9162, section 2.1.1). */
static void define(const uint8_t *leaves, size_t count, uint8_t *root) {
    if (count == 1) {
        memcpy(root, leaves, 32);
        return;
    }
    size_t left = 1;
    while (2 * left < count)
        left *= 2;
    uint8_t pair[64];
    define(leaves, left, pair);
    define(leaves + 32 * left, count - left, pair + 32);
    mc_node_hashes(pair, 1, root);
}

static void build(size_t count, size_t portion, uint8_t *root) {
    static uint8_t nodes[64 * 32], work[32 * LEAVES];
    memcpy(work, hashes, 32 * count);
    for (size_t done = 0; done < count;) {
        size_t now = count - done < portion ? count - done : portion;
        mc_tree_append(nodes, done, work + 32 * done, now);
        done += now;
    }
    mc_tree_root(nodes, count, root);
}

int main(void) {
    uint8_t expected[32], found[32];
    for (size_t i = 0; i < sizeof hashes; i++)
        hashes[i] = (uint8_t)(i * 31 + i / 255);
    for (size_t count = 1; count <= LEAVES; count += count < 40 ? 1 : 53) {
        define(hashes, count, expected);
        static uint8_t work[32 * LEAVES];
        memcpy(work, hashes, 32 * count);
        mc_root_of_hashes(work, count, found);
        CHECK(memcmp(found, expected, 32) == 0);
        for (size_t portion = 1; portion <= count; portion = portion * 3 + 1) {
            build(count, portion, found);
            CHECK(memcmp(found, expected, 32) == 0);
        }
    }
    mc_sha256(NULL, 0, expected);
    mc_tree_root(hashes, 0, found);
    CHECK(memcmp(found, expected, 32) == 0);
    return 0;
}
