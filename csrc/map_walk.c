/* The walk over the nodes that a batch of changes touches, and which of them have to be loaded for it. */

#include "map.h"

bool mc_map_removes(const uint8_t *change) { return memcmp(change + HASH, mc_map_empty, HASH) == 0; }

struct changes mc_map_cut(struct changes *rest, unsigned way, unsigned depth) {
    struct changes front = {rest->rows, 0};
    while (front.count < rest->count && map_nibble(rest->rows + ROW * front.count, depth) == way)
        front.count++;
    rest->rows += ROW * front.count;
    rest->count -= front.count;
    return front;
}

bool mc_map_may_shrink(const struct child *self, struct changes changes) {
    uint64_t left = self->count;
    for (size_t i = 0; i < changes.count && left > BUCKET_ROWS; i++)
        left -= mc_map_removes(changes.rows + ROW * i);
    return left <= BUCKET_ROWS;
}

bool mc_map_enters(struct walk *walk, const struct child *child, size_t changes, bool whole) {
    if (changes || (whole && child->count))
        return true;
    if (!child->count || child->oldest > walk->bar || walk->budget == 0)
        return false;
    walk->budget--;
    return true;
}

/* Whether the loaded node `i` comes before the walk's path in preorder (< 0), is at it (0), or comes after. */
static int compare(const struct walk *walk, size_t i, unsigned depth) {
    const uint8_t *data = walk->nodes + walk->offsets[i];
    size_t size = (size_t)(walk->offsets[i + 1] - walk->offsets[i]);
    unsigned other = size < 2 ? 0 : data[1];
    if (size < 2 + (size_t)other)
        return -1;
    unsigned common = other < depth ? other : depth;
    int order = memcmp(data + 2, walk->path, common);
    return order ? order : (int)other - (int)depth;
}

enum found mc_map_find(struct walk *walk, const struct child *self, unsigned depth, struct node *node) {
    if (mc_map_at_hand(walk->top, walk->top_size, self, walk->path, depth, node))
        return AT_HAND;
    int order = -1;
    while (walk->next < walk->count && (order = compare(walk, walk->next, depth)) < 0)
        walk->next++;
    if (order != 0 || walk->next == walk->count)
        return ABSENT;
    size_t i = walk->next++, size = (size_t)(walk->offsets[i + 1] - walk->offsets[i]);
    const uint8_t *data = walk->nodes + walk->offsets[i];
    if ((walk->checked ? mc_map_read_checked : mc_map_read)(data, size, walk->path, depth, node))
        return LOADED;
    walk->damaged = true;
    return ABSENT;
}

/* Nodes that are wanted ----------------------------------------------------------------------------------------------- */

struct wants {
    uint8_t *out;
    size_t capacity, used;
    uint64_t branches;
};

static void want(const struct walk *walk, struct wants *wants, const struct child *self, unsigned depth) {
    size_t size = 9 + (size_t)depth;
    if (wants->used + size <= wants->capacity) {
        uint8_t *at = wants->out + wants->used;
        at[0] = (uint8_t)depth;
        map_write64(at + 1, self->version);
        memcpy(at + 9, walk->path, depth);
    }
    wants->used += size;
    wants->branches += self->count > BUCKET_ROWS;
}

static void look(struct walk *walk, struct wants *wants, const struct child *self, unsigned depth,
                 struct changes changes, bool whole) {
    struct node node;
    struct child children[FAN];
    if (mc_map_find(walk, self, depth, &node) == ABSENT) {
        want(walk, wants, self, depth);
        return;
    }
    if (!node.branch)
        return;
    mc_map_children(&node, children);
    whole = whole || mc_map_may_shrink(self, changes);
    for (unsigned i = 0; i < FAN && !walk->damaged; i++) {
        struct changes part = mc_map_cut(&changes, i, depth);
        if (!mc_map_enters(walk, &children[i], part.count, whole) || !children[i].count)
            continue;
        walk->path[depth] = (uint8_t)i;
        look(walk, wants, &children[i], depth + 1, part, whole);
    }
}

int64_t mc_map_missing(const uint8_t *top, size_t top_size, const uint8_t *nodes, const uint64_t *offsets, size_t count,
                       const uint8_t *root, uint64_t *numbers, const uint8_t *changes, size_t change_count,
                       uint64_t bar, uint64_t budget, uint8_t *wanted, size_t capacity) {
    struct walk walk = {.top = top, .top_size = top_size, .nodes = nodes, .offsets = offsets, .count = count,
                        .bar = bar, .budget = budget};
    struct wants wants = {.out = wanted, .capacity = capacity};
    struct child self = {.hash = root, .version = numbers[0], .count = numbers[1]};
    look(&walk, &wants, &self, 0, (struct changes){changes, change_count}, false);
    numbers[2] = wants.branches;
    return walk.damaged ? -1 : (int64_t)wants.used;
}
