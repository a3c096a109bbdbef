/* Nodes of the packed map as they are stored, and the top of the map, which is kept between batches. */

#include "map.h"

#define MOST_ROWS (UINT64_C(1) << 58) /* of a child: sixteen of them are less than 2^63 */

const uint8_t mc_map_empty[HASH];

static bool under(const uint8_t *key, const uint8_t *path, unsigned depth) {
    for (unsigned at = 0; at < depth; at++)
        if (map_nibble(key, at) != path[at])
            return false;
    return true;
}

/* Whether rows are in order and lie under the path, which they do if the first and the last one do. */
static bool right_rows(const uint8_t *rows, size_t count, const uint8_t *path, unsigned depth) {
    for (size_t i = 1; i < count; i++)
        if (memcmp(rows + ROW * (i - 1), rows + ROW * i, HASH) >= 0)
            return false;
    return !count || (under(rows, path, depth) && under(rows + ROW * (count - 1), path, depth));
}

/* Whether each child has a row, and no more than can be added up: no hash covers the numbers, and hashing obeys them. */
static bool right_counts(const uint8_t *children, unsigned count) {
    for (unsigned i = 0; i < count; i++) {
        uint64_t rows = map_read64(children + CHILD * (size_t)i + HASH + 16);
        if (rows < 1 || rows > MOST_ROWS)
            return false;
    }
    return true;
}

static unsigned ones(unsigned bits) {
    unsigned count = 0;
    for (; bits; bits &= bits - 1)
        count++;
    return count;
}

bool mc_map_read_checked(const uint8_t *data, size_t size, const uint8_t *path, unsigned depth, struct node *node) {
    size_t head = 2 + (size_t)depth;
    if (size < head || data[1] != depth || depth > NIBBLES || memcmp(data + 2, path, depth) != 0)
        return false;
    node->branch = data[0] == BRANCH;
    node->data = data + head;
    node->rows = node->present = 0;
    size -= head;
    if (data[0] == BUCKET) {
        node->rows = size / ROW;
        return size % ROW == 0 && node->rows <= BUCKET_ROWS && (node->rows || depth == 0);
    }
    if (!node->branch || size < 2 || depth >= NIBBLES)
        return false;
    node->present = (unsigned)node->data[0] << 8 | node->data[1];
    node->data += 2;
    return size - 2 == (size_t)CHILD * ones(node->present);
}

bool mc_map_read(const uint8_t *data, size_t size, const uint8_t *path, unsigned depth, struct node *node) {
    return mc_map_read_checked(data, size, path, depth, node) &&
           (node->branch ? right_counts(node->data, ones(node->present))
                         : right_rows(node->data, node->rows, path, depth));
}

void mc_map_children(const struct node *node, struct child children[FAN]) {
    const uint8_t *at = node->data;
    memset(children, 0, FAN * sizeof children[0]);
    for (unsigned i = 0; i < FAN; i++) {
        if (!(node->present >> (FAN - 1 - i) & 1))
            continue;
        children[i].hash = at;
        children[i].version = map_read64(at + HASH);
        children[i].oldest = map_read64(at + HASH + 8);
        children[i].count = map_read64(at + HASH + 16);
        at += CHILD;
    }
}

void mc_map_write_child(uint8_t *at, const uint8_t *hash, uint64_t version, uint64_t oldest, uint64_t count) {
    if (hash)
        memcpy(at, hash, HASH);
    map_write64(at + HASH, version);
    map_write64(at + HASH + 8, oldest);
    map_write64(at + HASH + 16, count);
}

uint64_t mc_map_rows_in(const struct child *children, unsigned count) {
    uint64_t rows = 0;
    for (unsigned i = 0; i < count; i++)
        rows += children[i].count;
    return rows;
}

/* The top ------------------------------------------------------------------------------------------------------------- */

/* A slot for each path, level by level, has hash, version and size of a branch, and the branch itself. */
enum {
    LARGEST = 2 + (TOP_LEVELS - 1) + 2 + FAN * CHILD,
    SLOT = (HASH + 8 + 8 + LARGEST + 7) / 8 * 8,
};

/* Where the slot of a path begins. */
static size_t slot_of(const uint8_t *path, unsigned depth) {
    size_t before = 0, at = 0, width = 1;
    for (unsigned i = 0; i < depth; i++) {
        before += width;
        width *= FAN;
        at = at * FAN + path[i];
    }
    return SLOT * (before + at);
}

size_t mc_map_top_size(unsigned levels) {
    static const uint8_t first[TOP_LEVELS];
    return levels > TOP_LEVELS ? mc_map_top_size(TOP_LEVELS) : levels ? slot_of(first, levels) : 0;
}

bool mc_map_at_hand(const uint8_t *top, size_t top_size, const struct child *self, const uint8_t *path, unsigned depth,
                    struct node *node) {
    if (depth >= TOP_LEVELS)
        return false;
    size_t at = slot_of(path, depth);
    if (at >= top_size)
        return false;
    const uint8_t *slot = top + at;
    size_t size = (size_t)map_read64(slot + HASH + 8);
    return size && map_read64(slot + HASH) == self->version && memcmp(slot, self->hash, HASH) == 0 &&
           mc_map_read_checked(slot + HASH + 16, size, path, depth, node);
}

/* The hash of a child as its branch says; NULL if it has none there. */
static const uint8_t *hash_in(const struct node *branch, unsigned way) {
    if (way >= FAN || !branch->branch || !(branch->present >> (FAN - 1 - way) & 1))
        return NULL;
    return branch->data + CHILD * (size_t)ones(branch->present >> (FAN - way));
}

void mc_map_keep(uint8_t *top, size_t top_size, const uint8_t *nodes, const uint64_t *spans, size_t count,
                 const uint8_t *root, uint64_t version) {
    struct node way[TOP_LEVELS]; /* the last node of each level: that above the next one is always among them */
    unsigned levels = 0;
    for (size_t i = 0; i < count; i++) {
        const uint8_t *data = nodes + spans[3 * i + 1];
        size_t size = (size_t)(spans[3 * i + 2] - spans[3 * i + 1]);
        unsigned depth = size < 2 ? TOP_LEVELS : data[1];
        if (depth >= TOP_LEVELS || depth > levels || !mc_map_read(data, size, data + 2, depth, &way[depth]))
            continue;
        levels = depth + 1;
        const uint8_t *hash = depth ? hash_in(&way[depth - 1], data[1 + depth]) : root;
        if (!way[depth].branch || !hash || slot_of(data + 2, depth) >= top_size)
            continue;
        uint8_t *slot = top + slot_of(data + 2, depth);
        memcpy(slot, hash, HASH);
        map_write64(slot + HASH, version);
        map_write64(slot + HASH + 8, size);
        memcpy(slot + HASH + 16, data, size);
    }
}
