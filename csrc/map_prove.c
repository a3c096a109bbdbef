/* Proofs from the packed map: the siblings on the way of a key. */

#include "map.h"

struct proof {
    const uint8_t *key;
    uint8_t *siblings;
    unsigned steps;
};

static void step(struct proof *proof, const uint8_t *sibling) {
    memcpy(proof->siblings + HASH * proof->steps++, sibling, HASH);
}

static void hash_rows(const uint8_t *rows, size_t count, unsigned depth, uint8_t *to) {
    struct tree tree;
    mc_map_tree_of_rows(&tree, rows, count, depth, to);
    mc_map_hash_trees(&tree, 1);
}

static void hash_children(const struct child *children, unsigned count, unsigned depth, uint8_t *to) {
    struct tree tree;
    mc_map_tree_of_children(&tree, children, count, depth, to);
    mc_map_hash_trees(&tree, 1);
}

/* How many of the sorted rows turn left at `depth`. */
static size_t turn_left(const uint8_t *rows, size_t count, unsigned depth) {
    size_t left = 0;
    while (left < count && !map_bit(rows + ROW * left, depth))
        left++;
    return left;
}

/* Follow the key among the rows of a bucket; where its path ends there is one row, or none. */
static size_t follow_rows(struct proof *proof, const uint8_t **rows, size_t count) {
    uint8_t sibling[HASH];
    while (count > 1) {
        size_t left = turn_left(*rows, count, proof->steps);
        const uint8_t *right = *rows + ROW * left;
        if (map_bit(proof->key, proof->steps)) {
            hash_rows(*rows, left, proof->steps + 1, sibling);
            *rows = right;
            count -= left;
        } else {
            hash_rows(right, count - left, proof->steps + 1, sibling);
            count = left;
        }
        step(proof, sibling);
    }
    return count;
}

/* Follow the key through a branch; the first child of those where it arrives, all but that one empty. */
static const struct child *follow_children(struct proof *proof, const struct child *children, unsigned depth) {
    uint8_t sibling[HASH];
    for (unsigned half = FAN / 2; half; half /= 2) {
        if (mc_map_rows_in(children, 2 * half) <= 1)
            break;
        bool right = map_bit(proof->key, proof->steps);
        hash_children(children + (right ? 0 : half), half, depth, sibling);
        children += right ? half : 0;
        step(proof, sibling);
    }
    return children;
}

int mc_map_prove(const uint8_t *nodes, const uint64_t *offsets, size_t count, const uint8_t *root, const uint8_t *key,
                 uint8_t *siblings, uint8_t *end, uint64_t *numbers) {
    struct proof proof = {.key = key, .siblings = siblings};
    struct child children[FAN], self = {.hash = root};
    uint8_t path[NIBBLES], hash[HASH];
    for (unsigned depth = 0, i = 0; i < count; i++) {
        struct node node;
        if (!mc_map_read(nodes + offsets[i], (size_t)(offsets[i + 1] - offsets[i]), path, depth, &node))
            return -1;
        if (!node.branch) {
            hash_rows(node.data, node.rows, 4 * depth, hash);
            const uint8_t *rows = node.data;
            numbers[1] = memcmp(hash, self.hash, HASH) == 0 && node.rows ? follow_rows(&proof, &rows, node.rows) : 0;
            if (memcmp(hash, self.hash, HASH) != 0)
                return -1;
            numbers[0] = proof.steps;
            memcpy(end, rows, numbers[1] ? ROW : 0);
            return 0;
        }
        mc_map_children(&node, children);
        hash_children(children, FAN, depth, hash);
        if (memcmp(hash, self.hash, HASH) != 0)
            return -1;
        unsigned steps = proof.steps;
        const struct child *next = follow_children(&proof, children, depth);
        unsigned width = FAN >> (proof.steps - steps), way = (unsigned)(next - children);
        while (width > 1 && !children[way].count && way + 1 < (unsigned)(next - children) + width)
            way++;
        if (!children[way].count) {
            numbers[0] = proof.steps;
            numbers[1] = 0;
            return 0;
        }
        self = children[way];
        path[depth++] = (uint8_t)way;
        numbers[2] = self.version;
        numbers[3] = way;
    }
    return 1;
}
