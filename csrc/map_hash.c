/* Hashing the trees of the packed map in bulk. A tree is given as its subtrees in order; two neighbours that part deeper
 * than either parts from its other neighbour are joined, and so on up. Many trees go in step, so that each call of the
 * kernel has messages enough for all its lanes. */

#include "map.h"

/* Messages of one kind that wait to be hashed, and where their hashes go. */
#define STAGED 128

struct stage {
    int prefix;
    size_t count;
    uint8_t messages[STAGED][2 * HASH];
    uint8_t *to[STAGED];
};

static void flush(struct stage *stage) {
    mc_hash_many(stage->prefix, stage->messages[0], 2 * HASH, NULL, stage->count, stage->messages[0]);
    for (size_t i = 0; i < stage->count; i++)
        memcpy(stage->to[i], stage->messages[0] + HASH * i, HASH);
    stage->count = 0;
}

static void add(struct stage *stage, const uint8_t *left, const uint8_t *right, uint8_t *to) {
    if (stage->count == STAGED)
        flush(stage);
    memcpy(stage->messages[stage->count], left, HASH);
    memcpy(stage->messages[stage->count] + HASH, right, HASH);
    stage->to[stage->count++] = to;
}

void mc_map_tree_of_rows(struct tree *tree, const uint8_t *rows, size_t count, unsigned depth, uint8_t *to) {
    tree->count = (unsigned)count;
    tree->depth = depth;
    tree->skipped = 0;
    tree->to = to;
    tree->leaves = tree->joins = NULL;
    tree->full = false;
    for (size_t i = 0; i < count; i++)
        tree->parts[i] = (struct part){.key = rows + ROW * i, .depth = SINGLE};
}

void mc_map_tree_of_children(struct tree *tree, const struct child *children, unsigned count, unsigned depth,
                             uint8_t *to) {
    static const uint8_t keys[FAN] = {0x00, 0x10, 0x20, 0x30, 0x40, 0x50, 0x60, 0x70,
                                      0x80, 0x90, 0xa0, 0xb0, 0xc0, 0xd0, 0xe0, 0xf0};
    unsigned below = 4 * depth + 4;
    tree->count = 0;
    tree->depth = below;
    tree->skipped = 4 * depth;
    tree->to = to;
    tree->leaves = tree->joins = NULL;
    for (unsigned width = count; width > 1; width /= 2)
        tree->depth--;
    for (unsigned i = 0; i < count; i++)
        if (children[i].count)
            tree->parts[tree->count++] = (struct part){
                .key = &keys[i], .hash = children[i].hash, .depth = children[i].count == 1 ? SINGLE : below};
    tree->full = tree->count == FAN;
}

/* Whether a part is where it may be joined: just below the deeper of the splits beside it. */
static bool ready(const struct part *part, unsigned depth) { return part->depth == SINGLE || part->depth == depth; }

/* One level up, beside an empty subtree. */
static void lift(struct tree *tree, struct part *part, struct stage *stage) {
    uint8_t *to = tree->own[part->first];
    part->depth--;
    bool right = map_bit(part->key, part->depth - tree->skipped);
    add(stage, right ? mc_map_empty : part->hash, right ? part->hash : mc_map_empty, to);
    part->hash = to;
}

static void join(struct tree *tree, struct part *part, const struct part *next, unsigned split, struct stage *stage) {
    uint8_t *to = tree->joins ? tree->joins + HASH * (next->first - 1) : tree->own[part->first];
    add(stage, part->hash, next->hash, to);
    part->hash = to;
    part->depth = split;
}

/* The depth below the split behind part `i`, or that of the tree. */
static unsigned below(const struct tree *tree, unsigned i) {
    return i + 1 < tree->count ? tree->splits[i] + 1u : tree->depth;
}

/* Whatever of a tree waits for nothing: at most one hash for each part. Returns whether there was anything. */
static bool advance(struct tree *tree, struct stage *stage) {
    unsigned kept = 0, before = tree->depth, after;
    bool busy = false;
    for (unsigned i = 0; i < tree->count; i++, kept++, before = after) {
        struct part *part = &tree->parts[i];
        after = below(tree, i);
        if (!ready(part, before > after ? before : after)) {
            lift(tree, part, stage);
            busy = true;
        } else if (after > before && after > below(tree, i + 1) && ready(part + 1, after)) {
            join(tree, part, part + 1, after - 1, stage);
            after = below(tree, ++i);
            busy = true;
        }
        if (kept != i) {
            tree->parts[kept] = *part;
            tree->splits[kept] = tree->splits[i];
        }
    }
    tree->count = kept;
    return busy;
}

/* Number the parts, find where they part, and hash the rows among them. */
static void begin(struct tree *tree, struct stage *stage) {
    for (unsigned i = 0; i < tree->count; i++) {
        struct part *part = &tree->parts[i];
        part->first = i;
        if (i + 1 < tree->count)
            tree->splits[i] = (uint16_t)(tree->skipped + map_split(part->key, tree->parts[i + 1].key));
        if (part->hash)
            continue;
        uint8_t *to = tree->leaves ? tree->leaves + HASH * i : tree->own[i];
        add(stage, part->key, part->key + HASH, to);
        part->hash = to;
    }
}

/* Trees over all sixteen children, as most branches are: each pair is joined, so whole levels lie end to end. */
static void hash_full(struct tree *const trees[], size_t count) {
    uint8_t level[TREES * FAN * HASH];
    for (size_t i = 0; i < count; i++)
        for (size_t j = 0; j < FAN; j++)
            memcpy(level + HASH * (FAN * i + j), trees[i]->parts[j].hash, HASH);
    for (size_t pairs = FAN / 2; pairs; pairs /= 2)
        mc_node_hashes(level, pairs * count, level);
    for (size_t i = 0; i < count; i++)
        memcpy(trees[i]->to, level + HASH * i, HASH);
}

static void hash_others(struct tree *trees[], size_t count) {
    struct stage stage = {.prefix = 0x00, .count = 0};
    for (size_t i = 0; i < count; i++)
        begin(trees[i], &stage);
    flush(&stage);
    stage.prefix = 0x01;
    while (count) {
        size_t unfinished = 0;
        for (size_t i = 0; i < count; i++)
            if (advance(trees[i], &stage))
                trees[unfinished++] = trees[i];
            else
                memcpy(trees[i]->to, trees[i]->count ? trees[i]->parts[0].hash : mc_map_empty, HASH);
        count = unfinished;
        flush(&stage);
    }
}

void mc_map_hash_trees(struct tree *trees, size_t count) {
    struct tree *full[TREES], *others[TREES];
    size_t full_count = 0, other_count = 0;
    for (size_t i = 0; i < count; i++)
        if (trees[i].full)
            full[full_count++] = &trees[i];
        else
            others[other_count++] = &trees[i];
    hash_full(full, full_count);
    hash_others(others, other_count);
}

/* Stored nodes -------------------------------------------------------------------------------------------------------- */

static uint8_t *work_of(const struct node *node, const uint8_t *nodes, uint8_t *work) {
    return work + (node->data - nodes);
}

/* Behind the other hashes of a bucket; in place of the first child of a branch. */
static size_t hash_at(const struct node *node) { return node->branch ? 0 : HASH * (2 * node->rows - 1); }

const uint8_t *mc_map_hash_of(const struct node *node, const uint8_t *nodes, const uint8_t *work) {
    bool empty = node->branch ? !node->present : !node->rows;
    return empty ? mc_map_empty : work + (node->data - nodes) + hash_at(node);
}

static void tree_of_node(struct tree *tree, const struct node *node, unsigned depth, uint8_t *work) {
    struct child children[FAN];
    if (node->branch) {
        mc_map_children(node, children);
        mc_map_tree_of_children(tree, children, FAN, depth, work + hash_at(node));
        return;
    }
    mc_map_tree_of_rows(tree, node->data, node->rows, 4 * depth, work + hash_at(node));
    tree->leaves = work;
    tree->joins = work + HASH * node->rows;
}

bool mc_map_hash_nodes(const uint8_t *nodes, const uint64_t *offsets, size_t count, uint8_t *work) {
    struct tree trees[TREES];
    size_t staged = 0;
    for (size_t i = 0; i < count; i++) {
        struct node node;
        const uint8_t *data = nodes + offsets[i];
        size_t size = (size_t)(offsets[i + 1] - offsets[i]);
        if (size < 2 || !mc_map_read(data, size, data + 2, data[1], &node))
            return false;
        if (!(node.branch ? node.present : node.rows))
            continue;
        tree_of_node(&trees[staged++], &node, data[1], work_of(&node, nodes, work));
        if (staged == TREES) {
            mc_map_hash_trees(trees, staged);
            staged = 0;
        }
    }
    mc_map_hash_trees(trees, staged);
    return true;
}
