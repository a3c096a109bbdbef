/* A batch of changes on the packed map: the nodes that it makes, and the root. The shape of the new nodes comes first, from
 * the top down; buckets are hashed as they gather, branches afterwards, level by level from below. */

#include "map.h"

struct batch {
    struct walk walk;
    const uint8_t *work; /* hashes of loaded nodes */
    uint64_t version;
    uint8_t *out; /* new nodes, in preorder */
    size_t capacity, used;
    uint64_t *spans; /* of each, where its key and it itself begin, and where it ends */
    size_t spans_capacity, made;
    size_t flushed, queued; /* buckets that have been hashed, and that wait for it */
    struct tree queue[TREES];
};

/* New nodes ----------------------------------------------------------------------------------------------------------- */

/* Where a new node of `size` bytes behind kind and path goes; NULL if there is no room, or no more after all. */
static uint8_t *make(struct batch *batch, uint8_t kind, unsigned depth, size_t size) {
    size_t key = batch->used, node = key + 8 + depth, body = node + 2 + depth, made = batch->made++;
    batch->used = body + size;
    if (batch->used > batch->capacity || batch->made > batch->spans_capacity)
        return NULL;
    batch->spans[3 * made] = key;
    batch->spans[3 * made + 1] = node;
    batch->spans[3 * made + 2] = body + size;
    map_write64(batch->out + key, batch->version);
    memcpy(batch->out + key + 8, batch->walk.path, depth);
    batch->out[node] = kind;
    batch->out[node + 1] = (uint8_t)depth;
    memcpy(batch->out + node + 2, batch->walk.path, depth);
    return batch->out + body;
}

static void flush(struct batch *batch) {
    mc_map_hash_trees(batch->queue, batch->queued);
    batch->flushed += batch->queued;
    batch->queued = 0;
}

static void queue(struct batch *batch, unsigned depth, const struct gather *bucket, uint8_t *to) {
    struct tree *tree = &batch->queue[batch->queued++];
    tree->count = bucket->part_count;
    tree->depth = 4 * depth;
    tree->skipped = 0;
    tree->full = false;
    memcpy(tree->parts, bucket->parts, bucket->part_count * sizeof tree->parts[0]);
    tree->to = to;
    tree->leaves = tree->joins = NULL;
    if (batch->queued == TREES)
        flush(batch);
}

/* The hash of a node that is made goes `to` the branch above; NULL if that found no room. */
static void make_bucket(struct batch *batch, struct child *self, unsigned depth, const struct gather *bucket,
                        struct gather *above, uint8_t *to) {
    *self = (struct child){.version = batch->version, .oldest = batch->version, .count = bucket->count};
    if (bucket->count || depth == 0) {
        uint8_t *at = make(batch, BUCKET, depth, ROW * bucket->count);
        for (size_t i = 0; at && i < bucket->count; i++)
            memcpy(at + ROW * i, bucket->rows[i], ROW);
        if (at && to)
            queue(batch, depth, bucket, to);
    }
    if (!above)
        return;
    above->lost = above->lost || above->count + bucket->count > BUCKET_ROWS;
    if (above->lost)
        return;
    memcpy(above->rows + above->count, bucket->rows, bucket->count * sizeof bucket->rows[0]);
    memcpy(above->parts + above->part_count, bucket->parts, bucket->part_count * sizeof bucket->parts[0]);
    above->count += bucket->count;
    above->part_count += bucket->part_count;
}

/* A branch begins with room for all sixteen children, each in its place, so that the hashes of those that are made find
 * theirs; `close_up` takes out what is not needed. */
static uint8_t *begin_branch(struct batch *batch, unsigned depth) {
    return make(batch, BRANCH, depth, 2 + FAN * CHILD);
}

static uint8_t *place(uint8_t *body, unsigned way) { return body ? body + 2 + CHILD * (size_t)way : NULL; }

/* The hash of a child that was made is NULL here: it is in its place, or will be. */
static void end_branch(struct batch *batch, struct child *self, size_t made, uint8_t *body,
                       const struct child children[FAN]) {
    unsigned present = 0, count = 0;
    *self = (struct child){.version = batch->version, .oldest = batch->version};
    self->count = mc_map_rows_in(children, FAN);
    for (unsigned i = 0; i < FAN; i++) {
        const struct child *child = &children[i];
        if (!child->count)
            continue;
        present |= 1u << (FAN - 1 - i);
        count++;
        if (child->oldest < self->oldest)
            self->oldest = child->oldest;
        if (body)
            mc_map_write_child(place(body, i), child->hash, child->version, child->oldest, child->count);
    }
    if (!body)
        return;
    body[0] = (uint8_t)(present >> 8);
    body[1] = (uint8_t)present;
    batch->spans[3 * made + 2] -= (FAN - count) * (uint64_t)CHILD;
}

/* The subtree that holds `rows` after `changes`. */
static void build(struct batch *batch, struct child *self, unsigned depth, struct rows rows, struct changes changes,
                  struct gather *above, uint8_t *to) {
    if (mc_map_count_after(rows, changes) <= BUCKET_ROWS) {
        struct gather bucket;
        bucket.count = bucket.part_count = 0;
        mc_map_merge(&bucket, rows, changes);
        make_bucket(batch, self, depth, &bucket, above, to);
        return;
    }
    if (above)
        above->lost = true;
    if (depth == NIBBLES) { /* more than 32 different keys would be equal */
        batch->walk.damaged = true;
        return;
    }
    size_t made = batch->made;
    struct child children[FAN];
    uint8_t *body = begin_branch(batch, depth);
    memset(children, 0, sizeof children);
    for (unsigned i = 0; i < FAN; i++) {
        struct rows some = mc_map_cut_rows(&rows, i, depth);
        struct changes part = mc_map_cut(&changes, i, depth);
        batch->walk.path[depth] = (uint8_t)i;
        if (some.count || part.count)
            build(batch, &children[i], depth + 1, some, part, NULL, place(body, i));
    }
    end_branch(batch, self, made, body, children);
}

static void change(struct batch *batch, struct child *self, unsigned depth, struct changes changes, bool whole,
                   struct gather *above, uint8_t *to);

/* What was made is not needed after all. Buckets that have been hashed wrote to where something else will be written. */
static void undo(struct batch *batch, size_t used, size_t made, size_t queued) {
    batch->used = used;
    batch->made = made;
    batch->queued = queued > batch->flushed ? queued - batch->flushed : 0;
}

/* The branch at the walk's path after changes: a branch, or a bucket if few rows are left. */
static void change_branch(struct batch *batch, struct child *self, unsigned depth, struct child children[FAN],
                          struct changes changes, bool whole, struct gather *above, uint8_t *to) {
    struct gather gathered;
    size_t used = batch->used, made = batch->made, queued = batch->flushed + batch->queued;
    uint8_t *body = begin_branch(batch, depth);
    gathered.lost = false;
    gathered.count = gathered.part_count = 0;
    for (unsigned i = 0; i < FAN && !batch->walk.damaged; i++) {
        struct changes part = mc_map_cut(&changes, i, depth);
        batch->walk.path[depth] = (uint8_t)i;
        if (!mc_map_enters(&batch->walk, &children[i], part.count, whole))
            gathered.lost = gathered.lost || children[i].count;
        else if (children[i].count)
            change(batch, &children[i], depth + 1, part, whole, &gathered, place(body, i));
        else
            build(batch, &children[i], depth + 1, (struct rows){.count = 0}, part, &gathered, place(body, i));
    }
    if (mc_map_rows_in(children, FAN) > BUCKET_ROWS) {
        end_branch(batch, self, made, body, children);
        if (above)
            above->lost = true;
        return;
    }
    batch->walk.damaged = batch->walk.damaged || gathered.lost;
    undo(batch, used, made, queued);
    if (!batch->walk.damaged)
        make_bucket(batch, self, depth, &gathered, above, to);
}

static void change_bucket(struct batch *batch, struct child *self, unsigned depth, const struct node *node,
                          struct changes changes, struct gather *above, uint8_t *to) {
    uint16_t splits[BUCKET_ROWS];
    const uint8_t *leaves = batch->work + (node->data - batch->walk.nodes);
    for (size_t i = 0; i + 1 < node->rows; i++)
        splits[i] = (uint16_t)map_split(node->data + ROW * i, node->data + ROW * (i + 1));
    struct rows rows = {node->data, leaves, leaves + HASH * node->rows, splits, node->rows};
    build(batch, self, depth, rows, changes, above, to);
}

static void change(struct batch *batch, struct child *self, unsigned depth, struct changes changes, bool whole,
                   struct gather *above, uint8_t *to) {
    struct node node;
    struct child children[FAN];
    enum found found = mc_map_find(&batch->walk, self, depth, &node);
    uint64_t count = found == ABSENT ? 0 : node.rows;
    if (found != ABSENT && node.branch) {
        mc_map_children(&node, children);
        count = mc_map_rows_in(children, FAN);
    }
    if (found == ABSENT || count != self->count ||
        (found == LOADED && memcmp(mc_map_hash_of(&node, batch->walk.nodes, batch->work), self->hash, HASH) != 0))
        batch->walk.damaged = true;
    else if (node.branch)
        change_branch(batch, self, depth, children, changes, whole || mc_map_may_shrink(self, changes), above, to);
    else
        change_bucket(batch, self, depth, &node, changes, above, to);
}

/* The branches -------------------------------------------------------------------------------------------------------- */

static uint8_t *node_at(const struct batch *batch, size_t i) { return batch->out + batch->spans[3 * i + 1]; }

static uint8_t *body_of(uint8_t *node) { return node + 2 + node[1]; }

/* Children of a new branch, which are still in their places. */
static void children_in_place(uint8_t *body, struct child children[FAN]) {
    for (unsigned i = 0; i < FAN; i++) {
        const uint8_t *at = place(body, i);
        bool present = (body[i / 8] >> (7 - i % 8)) & 1;
        children[i] = (struct child){.hash = at, .count = present ? map_read64(at + HASH + 16) : 0};
    }
}

/* Hash all new branches that lie `depth` nibbles down; those below are hashed. */
static void hash_level(struct batch *batch, unsigned depth, uint8_t *root) {
    uint8_t *above = NULL;
    for (size_t i = 0; i < batch->made; i++) {
        uint8_t *node = node_at(batch, i);
        if (node[1] + 1u == depth)
            above = body_of(node);
        if (node[1] != depth || node[0] != BRANCH)
            continue;
        struct child children[FAN];
        children_in_place(body_of(node), children);
        mc_map_tree_of_children(&batch->queue[batch->queued++], children, FAN, depth,
                                depth ? place(above, node[1 + depth]) : root);
        if (batch->queued == TREES)
            flush(batch);
    }
    flush(batch);
}

static void close_up(uint8_t *body) {
    uint8_t *to = place(body, 0);
    for (unsigned i = 0; i < FAN; i++) {
        if (!((body[i / 8] >> (7 - i % 8)) & 1))
            continue;
        if (to != place(body, i))
            memmove(to, place(body, i), CHILD);
        to += CHILD;
    }
}

static void hash_branches(struct batch *batch, uint8_t *root) {
    unsigned levels = 0;
    for (size_t i = 0; i < batch->made; i++) {
        const uint8_t *node = node_at(batch, i);
        if (node[0] == BRANCH && node[1] >= levels)
            levels = node[1] + 1u;
    }
    while (levels--)
        hash_level(batch, levels, root);
    for (size_t i = 0; i < batch->made; i++)
        if (node_at(batch, i)[0] == BRANCH)
            close_up(body_of(node_at(batch, i)));
}

int mc_map_change(const uint8_t *top, size_t top_size, const uint8_t *nodes, const uint64_t *offsets, size_t count,
                  uint8_t *work, uint8_t *root, uint64_t *numbers, const uint8_t *changes, size_t change_count,
                  uint64_t bar, uint64_t budget, uint8_t *out, size_t capacity, uint64_t *spans, size_t spans_capacity) {
    uint8_t hash[HASH];
    struct batch batch;
    batch.walk = (struct walk){.top = top, .top_size = top_size, .nodes = nodes, .offsets = offsets, .count = count,
                               .checked = true, .bar = bar, .budget = budget};
    batch.work = work;
    batch.version = numbers[2];
    batch.out = out;
    batch.capacity = capacity;
    batch.spans = spans;
    batch.spans_capacity = spans_capacity;
    batch.used = batch.made = batch.flushed = batch.queued = 0;
    struct child self = {.hash = root, .version = numbers[0], .count = numbers[1]};
    if (!mc_map_hash_nodes(nodes, offsets, count, work))
        return -1;
    change(&batch, &self, 0, (struct changes){changes, change_count}, false, NULL, hash);
    if (batch.walk.damaged)
        return -1;
    numbers[4] = batch.used;
    numbers[5] = batch.made;
    if (batch.used > capacity || batch.made > spans_capacity)
        return 1;
    flush(&batch);
    hash_branches(&batch, hash);
    memcpy(root, hash, HASH);
    numbers[1] = self.count;
    numbers[3] = self.oldest;
    return 0;
}
