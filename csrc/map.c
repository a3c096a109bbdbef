/* The sparse Merkle map in packed nodes: a batch of changes on the nodes that it touches, and proofs.
 *
 * A node is a bucket of at most 32 rows or a branch of sixteen subtrees (api.h has the layout). A subtree of at most 32
 * rows is a bucket, any larger one a branch, so the packing depends on the rows alone. What is stored is checked before
 * it is built on: lengths and order before anything is read, and the hash against that in the branch above. */

#include "prelude.h"

#include <stdbool.h>
#include <string.h>

#define HASH 32
#define ROW (2 * HASH) /* row key || hash of the value */
#define FAN 16
#define NIBBLES 64
#define BUCKET_ROWS 32
#define MOST_ROWS (UINT64_C(1) << 58) /* of a child: sixteen of them are less than 2^63 */

enum { BUCKET = 1, BRANCH = 2 };
enum { CHILD = HASH + 3 * 8 }; /* a subtree as its branch knows it */

static const uint8_t EMPTY[HASH];

/* A subtree as the node above it knows it: `version` is that of its node, `oldest` the least in the whole subtree. */
struct child {
    uint8_t hash[HASH];
    uint64_t version, oldest, count;
};

/* A stored node whose lengths are known to be right. */
struct node {
    bool branch;
    size_t rows;          /* of a bucket */
    const uint8_t *data;  /* its rows, or the first of its children */
    unsigned present;     /* of a branch: a bit for each child, the first the highest */
};

/* Rows that are gathered in case a branch shrinks to a bucket. */
struct gather {
    bool lost; /* there are more, or some were not at hand */
    size_t count;
    uint8_t rows[BUCKET_ROWS * ROW];
    uint8_t leaves[BUCKET_ROWS * HASH];
};

struct walk {
    const uint8_t *nodes;
    const uint64_t *offsets;
    size_t count, next;      /* loaded nodes, in preorder; all before `next` have been passed */
    uint64_t version, bar;
    uint64_t budget;
    bool damaged;
    uint8_t path[NIBBLES];
    uint8_t *out;            /* nodes that were made, or keys of nodes that are wanted */
    size_t capacity, used;
    uint64_t *ends;
    size_t ends_capacity, made;
};

static uint64_t load64(const uint8_t *p) {
    uint64_t x = 0;
    for (unsigned i = 0; i < 8; i++)
        x = x << 8 | p[i];
    return x;
}

static void store64(uint8_t *p, uint64_t x) {
    for (unsigned i = 8; i-- > 0; x >>= 8)
        p[i] = (uint8_t)x;
}

static unsigned nibble(const uint8_t *key, unsigned depth) {
    return depth % 2 ? key[depth / 2] & 15 : key[depth / 2] >> 4;
}

static bool bit(const uint8_t *key, unsigned depth) {
    return key[depth / 8] >> (7 - depth % 8) & 1;
}

/* Hashes ------------------------------------------------------------------------------------------------------------ */

/* The subtree over two halves with so many rows in each: empty, a single row, or a node. */
static void join(const uint8_t *left, uint64_t in_left, const uint8_t *right, uint64_t in_right, uint8_t *out) {
    uint8_t pair[2 * HASH];
    if (in_left + in_right <= 1) {
        memmove(out, in_left ? left : in_right ? right : EMPTY, HASH);
        return;
    }
    memcpy(pair, in_left ? left : EMPTY, HASH);
    memcpy(pair + HASH, in_right ? right : EMPTY, HASH);
    mc_hash_many(0x01, pair, sizeof pair, NULL, 1, out);
}

/* How many of the sorted rows turn left at `depth`. */
static size_t turn_left(const uint8_t *rows, size_t count, unsigned depth) {
    size_t left = 0;
    while (left < count && !bit(rows + ROW * left, depth))
        left++;
    return left;
}

/* The hash of the subtree at bit `depth` that holds these sorted rows, which differ; `leaves` are their hashes. */
static void join_rows(const uint8_t *rows, const uint8_t *leaves, size_t count, unsigned depth, uint8_t *out) {
    uint8_t left[HASH], right[HASH];
    if (count <= 1) {
        memcpy(out, count ? leaves : EMPTY, HASH);
        return;
    }
    size_t middle = turn_left(rows, count, depth);
    join_rows(rows, leaves, middle, depth + 1, left);
    join_rows(rows + ROW * middle, leaves + HASH * middle, count - middle, depth + 1, right);
    join(left, middle, right, count - middle, out);
}

static void hash_leaves(const uint8_t *rows, size_t count, uint8_t *leaves) {
    mc_hash_many(0x00, rows, ROW, NULL, count, leaves);
}

/* The same for rows of a bucket whose leaves are not known. */
static void hash_rows(const uint8_t *rows, size_t count, unsigned depth, uint8_t *out) {
    uint8_t leaves[BUCKET_ROWS * HASH];
    hash_leaves(rows, count, leaves);
    join_rows(rows, leaves, count, depth, out);
}

static uint64_t rows_in(const struct child *children, unsigned count) {
    uint64_t rows = 0;
    for (unsigned i = 0; i < count; i++)
        rows += children[i].count;
    return rows;
}

/* The same where all are there, as in most branches: then each pair is a node, and a level is hashed at once. */
static bool hash_full_children(const struct child *children, unsigned count, uint8_t *out) {
    uint8_t level[FAN * HASH];
    for (unsigned i = 0; i < count; i++) {
        if (!children[i].count)
            return false;
        memcpy(level + HASH * i, children[i].hash, HASH);
    }
    for (unsigned pairs = count / 2; pairs; pairs /= 2)
        mc_node_hashes(level, pairs, level);
    memcpy(out, level, HASH);
    return true;
}

/* The hash over `count` neighbouring children, 1, 2, 4, 8 or 16. */
static void hash_children(const struct child *children, unsigned count, uint8_t *out) {
    uint8_t left[HASH], right[HASH];
    unsigned half = count / 2;
    if (count == 1) {
        memcpy(out, children->count ? children->hash : EMPTY, HASH);
        return;
    }
    if (hash_full_children(children, count, out))
        return;
    hash_children(children, half, left);
    hash_children(children + half, half, right);
    join(left, rows_in(children, half), right, rows_in(children + half, half), out);
}

/* Stored nodes ------------------------------------------------------------------------------------------------------ */

static bool right_rows(const uint8_t *rows, size_t count, const uint8_t *path, unsigned depth) {
    for (size_t i = 0; i < count; i++) {
        for (unsigned at = 0; at < depth; at++)
            if (nibble(rows + ROW * i, at) != path[at])
                return false;
        if (i && memcmp(rows + ROW * (i - 1), rows + ROW * i, HASH) >= 0)
            return false;
    }
    return true;
}

/* Whether each child has a row, and no more than can be added up: no hash covers the numbers, and hashing obeys them. */
static bool right_counts(const uint8_t *children, unsigned count) {
    for (unsigned i = 0; i < count; i++) {
        uint64_t rows = load64(children + CHILD * (size_t)i + HASH + 16);
        if (rows < 1 || rows > MOST_ROWS)
            return false;
    }
    return true;
}

/* Read a node that lies `depth` nibbles down at `path`; false if it is none. Only the root may be empty. */
static bool read_node(const uint8_t *data, size_t size, const uint8_t *path, unsigned depth, struct node *node) {
    size_t head = 2 + (size_t)depth;
    if (size < head || data[1] != depth || memcmp(data + 2, path, depth) != 0)
        return false;
    node->branch = data[0] == BRANCH;
    node->data = data + head;
    size -= head;
    if (data[0] == BUCKET) {
        node->rows = size / ROW;
        return size % ROW == 0 && node->rows <= BUCKET_ROWS && (node->rows || depth == 0) &&
               right_rows(node->data, node->rows, path, depth);
    }
    if (!node->branch || size < 2 || depth >= NIBBLES)
        return false;
    node->present = (unsigned)node->data[0] << 8 | node->data[1];
    node->data += 2;
    unsigned children = 0;
    for (unsigned bits = node->present; bits; bits &= bits - 1)
        children++;
    return size - 2 == (size_t)CHILD * children && right_counts(node->data, children);
}

/* Children by nibble; those that are not there count no rows. */
static void read_children(const struct node *node, struct child children[FAN]) {
    const uint8_t *at = node->data;
    memset(children, 0, FAN * sizeof children[0]);
    for (unsigned i = 0; i < FAN; i++) {
        if (!(node->present >> (FAN - 1 - i) & 1))
            continue;
        memcpy(children[i].hash, at, HASH);
        children[i].version = load64(at + HASH);
        children[i].oldest = load64(at + HASH + 8);
        children[i].count = load64(at + HASH + 16);
        at += CHILD;
    }
}

/* Whether the loaded node `i` comes before `path` in preorder (< 0), is at it (0), or comes after. */
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

/* The loaded node at the walk's path, if it is loaded. */
static bool take(struct walk *walk, unsigned depth, struct node *node) {
    int order = -1;
    while (walk->next < walk->count && (order = compare(walk, walk->next, depth)) < 0)
        walk->next++;
    if (order != 0 || walk->next == walk->count)
        return false;
    size_t i = walk->next++;
    if (!read_node(walk->nodes + walk->offsets[i], (size_t)(walk->offsets[i + 1] - walk->offsets[i]), walk->path, depth,
                   node)) {
        walk->damaged = true;
        return false;
    }
    return true;
}

/* Changes ----------------------------------------------------------------------------------------------------------- */

/* Sorted rows with the hashes of their leaves. */
struct rows {
    const uint8_t *rows, *leaves;
    size_t count;
};

/* Sorted changes: a row each, whose value hash is all zero where the row is removed. */
struct changes {
    const uint8_t *rows;
    size_t count;
};

static bool removes(const uint8_t *change) {
    return memcmp(change + HASH, EMPTY, HASH) == 0;
}

/* Cut off the changes at the front that turn to `way` at `depth`. */
static struct changes cut(struct changes *rest, unsigned way, unsigned depth) {
    struct changes front = {rest->rows, 0};
    while (front.count < rest->count && nibble(rest->rows + ROW * front.count, depth) == way)
        front.count++;
    rest->rows += ROW * front.count;
    rest->count -= front.count;
    return front;
}

/* The same for rows. */
static struct rows cut_rows(struct rows *rest, unsigned way, unsigned depth) {
    struct changes all = {rest->rows, rest->count};
    struct rows front = {rest->rows, rest->leaves, cut(&all, way, depth).count};
    rest->rows += ROW * front.count;
    rest->leaves += HASH * front.count;
    rest->count -= front.count;
    return front;
}

/* Whether a branch may shrink to a bucket, so that all its rows must be at hand. */
static bool may_shrink(const struct child *self, struct changes changes) {
    uint64_t left = self->count;
    for (size_t i = 0; i < changes.count && left > BUCKET_ROWS; i++)
        left -= removes(changes.rows + ROW * i);
    return left <= BUCKET_ROWS;
}

/* Whether the walk goes into a child: it is changed, or its rows are needed, or it is old enough to be written anew. */
static bool enters(struct walk *walk, const struct child *child, size_t changes, bool whole) {
    if (changes || (whole && child->count))
        return true;
    if (!child->count || child->oldest > walk->bar || walk->budget == 0)
        return false;
    walk->budget--;
    return true;
}

/* Which nodes are wanted -------------------------------------------------------------------------------------------- */

static void want(struct walk *walk, uint64_t version, unsigned depth) {
    size_t size = 9 + (size_t)depth;
    if (walk->used + size <= walk->capacity) {
        uint8_t *at = walk->out + walk->used;
        store64(at, version);
        at[8] = (uint8_t)depth;
        memcpy(at + 9, walk->path, depth);
    }
    walk->used += size;
}

static void look(struct walk *walk, const struct child *self, unsigned depth, struct changes changes, bool whole) {
    struct node node;
    struct child children[FAN];
    if (!take(walk, depth, &node)) {
        want(walk, self->version, depth);
        return;
    }
    if (!node.branch)
        return;
    read_children(&node, children);
    whole = whole || may_shrink(self, changes);
    for (unsigned i = 0; i < FAN && !walk->damaged; i++) {
        struct changes part = cut(&changes, i, depth);
        if (!enters(walk, &children[i], part.count, whole) || !children[i].count)
            continue;
        walk->path[depth] = (uint8_t)i;
        look(walk, &children[i], depth + 1, part, whole);
    }
}

int64_t mc_map_missing(const uint8_t *nodes, const uint64_t *offsets, size_t count, uint64_t rows, const uint8_t *changes,
                       size_t change_count, uint64_t bar, uint64_t budget, uint8_t *wanted, size_t capacity) {
    struct walk walk = {.nodes = nodes, .offsets = offsets, .count = count, .bar = bar, .budget = budget,
                        .out = wanted, .capacity = capacity};
    struct child root = {.count = rows};
    look(&walk, &root, 0, (struct changes){changes, change_count}, false);
    return walk.damaged ? -1 : (int64_t)walk.used;
}

/* What a batch makes ------------------------------------------------------------------------------------------------ */

/* Where a new node of `size` bytes behind kind and path goes; NULL if there is no room, or no more after all. */
static uint8_t *make(struct walk *walk, uint8_t kind, unsigned depth, size_t size) {
    size_t start = walk->used, head = 2 + (size_t)depth;
    walk->used += head + size;
    bool room = walk->used <= walk->capacity && walk->made < walk->ends_capacity;
    if (room)
        walk->ends[walk->made] = walk->used;
    walk->made++;
    if (!room)
        return NULL;
    uint8_t *at = walk->out + start;
    at[0] = kind;
    at[1] = (uint8_t)depth;
    memcpy(at + 2, walk->path, depth);
    return at + head;
}

static void make_bucket(struct walk *walk, struct child *self, unsigned depth, const struct gather *bucket,
                        struct gather *above) {
    size_t count = bucket->count;
    join_rows(bucket->rows, bucket->leaves, count, 4 * depth, self->hash);
    self->version = self->oldest = walk->version;
    self->count = count;
    if (count || depth == 0) {
        uint8_t *at = make(walk, BUCKET, depth, ROW * count);
        if (at)
            memcpy(at, bucket->rows, ROW * count);
    }
    if (!above)
        return;
    above->lost = above->lost || above->count + count > BUCKET_ROWS;
    if (!above->lost) {
        memcpy(above->rows + ROW * above->count, bucket->rows, ROW * count);
        memcpy(above->leaves + HASH * above->count, bucket->leaves, HASH * count);
        above->count += count;
    }
}

static void make_branch(struct walk *walk, struct child *self, unsigned depth, const struct child children[FAN]) {
    unsigned present = 0, count = 0;
    hash_children(children, FAN, self->hash);
    self->version = self->oldest = walk->version;
    self->count = rows_in(children, FAN);
    for (unsigned i = 0; i < FAN; i++) {
        if (!children[i].count)
            continue;
        present |= 1u << (FAN - 1 - i);
        count++;
        if (children[i].oldest < self->oldest)
            self->oldest = children[i].oldest;
    }
    uint8_t *at = make(walk, BRANCH, depth, 2 + (size_t)CHILD * count);
    if (!at)
        return;
    at[0] = (uint8_t)(present >> 8);
    at[1] = (uint8_t)present;
    at += 2;
    for (unsigned i = 0; i < FAN; i++) {
        if (!children[i].count)
            continue;
        memcpy(at, children[i].hash, HASH);
        store64(at + HASH, children[i].version);
        store64(at + HASH + 8, children[i].oldest);
        store64(at + HASH + 16, children[i].count);
        at += CHILD;
    }
}

/* Rows after changes: both are walked in order, a change before the row that it replaces. `out` may be NULL, to count. */
static size_t merge(struct rows rows, struct changes changes, struct gather *out) {
    size_t count = 0, i = 0, j = 0;
    while (i < rows.count || j < changes.count) {
        const uint8_t *row = rows.rows + ROW * i, *change = changes.rows + ROW * j;
        int order = i == rows.count ? 1 : j == changes.count ? -1 : memcmp(row, change, HASH);
        i += order <= 0;
        j += order >= 0;
        if (order >= 0 && removes(change))
            continue;
        if (out && order >= 0) {
            memcpy(out->rows + ROW * count, change, ROW);
            hash_leaves(change, 1, out->leaves + HASH * count);
        } else if (out) {
            memcpy(out->rows + ROW * count, row, ROW);
            memcpy(out->leaves + HASH * count, rows.leaves + HASH * (i - 1), HASH);
        }
        count++;
    }
    return count;
}

static void make_merged_bucket(struct walk *walk, struct child *self, unsigned depth, struct rows rows,
                               struct changes changes, struct gather *above) {
    struct gather bucket;
    bucket.lost = false;
    bucket.count = merge(rows, changes, &bucket);
    make_bucket(walk, self, depth, &bucket, above);
}

/* The subtree that holds `rows` after `changes`. */
static void build(struct walk *walk, struct child *self, unsigned depth, struct rows rows, struct changes changes,
                  struct gather *above) {
    struct child children[FAN];
    if (merge(rows, changes, NULL) <= BUCKET_ROWS) {
        make_merged_bucket(walk, self, depth, rows, changes, above);
        return;
    }
    if (above)
        above->lost = true;
    if (depth == NIBBLES) { /* more than 32 different keys would be equal */
        walk->damaged = true;
        return;
    }
    memset(children, 0, sizeof children);
    for (unsigned i = 0; i < FAN; i++) {
        struct rows some = cut_rows(&rows, i, depth);
        struct changes part = cut(&changes, i, depth);
        if (!some.count && !part.count)
            continue;
        walk->path[depth] = (uint8_t)i;
        build(walk, &children[i], depth + 1, some, part, NULL);
    }
    make_branch(walk, self, depth, children);
}

static void change(struct walk *walk, struct child *self, unsigned depth, struct changes changes, bool whole,
                   struct gather *above);

/* The branch at the walk's path after changes: a branch, or a bucket if few rows are left. */
static void change_branch(struct walk *walk, struct child *self, unsigned depth, struct child children[FAN],
                          struct changes changes, bool whole, struct gather *above) {
    struct gather gathered;
    size_t used = walk->used, made = walk->made;
    gathered.lost = false;
    gathered.count = 0;
    for (unsigned i = 0; i < FAN && !walk->damaged; i++) {
        struct changes part = cut(&changes, i, depth);
        walk->path[depth] = (uint8_t)i;
        if (!enters(walk, &children[i], part.count, whole))
            gathered.lost = gathered.lost || children[i].count;
        else if (children[i].count)
            change(walk, &children[i], depth + 1, part, whole, &gathered);
        else
            build(walk, &children[i], depth + 1, (struct rows){part.rows, part.rows, 0}, part, &gathered);
    }
    if (rows_in(children, FAN) > BUCKET_ROWS) {
        make_branch(walk, self, depth, children);
        if (above)
            above->lost = true;
        return;
    }
    walk->damaged = walk->damaged || gathered.lost;
    walk->used = used;
    walk->made = made;
    make_bucket(walk, self, depth, &gathered, above);
}

static void change(struct walk *walk, struct child *self, unsigned depth, struct changes changes, bool whole,
                   struct gather *above) {
    struct node node;
    struct child children[FAN];
    uint8_t hash[HASH], leaves[BUCKET_ROWS * HASH];
    if (!take(walk, depth, &node)) {
        walk->damaged = true;
        return;
    }
    if (node.branch) {
        read_children(&node, children);
        hash_children(children, FAN, hash);
    } else {
        hash_leaves(node.data, node.rows, leaves);
        join_rows(node.data, leaves, node.rows, 4 * depth, hash);
    }
    if (memcmp(hash, self->hash, HASH) != 0) {
        walk->damaged = true;
        return;
    }
    if (node.branch)
        change_branch(walk, self, depth, children, changes, whole || may_shrink(self, changes), above);
    else
        build(walk, self, depth, (struct rows){node.data, leaves, node.rows}, changes, above);
}

int mc_map_change(const uint8_t *nodes, const uint64_t *offsets, size_t count, uint8_t *root, uint64_t *numbers,
                  const uint8_t *changes, size_t change_count, uint64_t bar, uint64_t budget, uint8_t *out,
                  size_t capacity, uint64_t *ends, size_t ends_capacity) {
    struct walk walk = {.nodes = nodes, .offsets = offsets, .count = count, .version = numbers[0], .bar = bar,
                        .budget = budget, .out = out, .capacity = capacity, .ends = ends,
                        .ends_capacity = ends_capacity};
    struct child self = {.count = numbers[1]};
    memcpy(self.hash, root, HASH);
    change(&walk, &self, 0, (struct changes){changes, change_count}, false, NULL);
    if (walk.damaged)
        return -1;
    numbers[3] = walk.used;
    numbers[4] = walk.made;
    if (walk.used > capacity || walk.made > ends_capacity)
        return 1;
    memcpy(root, self.hash, HASH);
    numbers[1] = self.count;
    numbers[2] = self.oldest;
    return 0;
}

/* Proofs ------------------------------------------------------------------------------------------------------------ */

struct proof {
    const uint8_t *key;
    uint8_t *siblings;
    unsigned steps;
};

static void step(struct proof *proof, const uint8_t *sibling) {
    memcpy(proof->siblings + HASH * proof->steps++, sibling, HASH);
}

/* Follow the key among the rows of a bucket; where its path ends there is one row, or none. */
static size_t follow_rows(struct proof *proof, const uint8_t **rows, size_t count) {
    uint8_t sibling[HASH];
    while (count > 1) {
        size_t left = turn_left(*rows, count, proof->steps);
        const uint8_t *right = *rows + ROW * left;
        if (bit(proof->key, proof->steps)) {
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
static const struct child *follow_children(struct proof *proof, const struct child *children) {
    uint8_t sibling[HASH];
    for (unsigned half = FAN / 2; half; half /= 2) {
        if (rows_in(children, 2 * half) <= 1)
            break;
        bool right = bit(proof->key, proof->steps);
        hash_children(children + (right ? 0 : half), half, sibling);
        children += right ? half : 0;
        step(proof, sibling);
    }
    return children;
}

int mc_map_prove(const uint8_t *nodes, const uint64_t *offsets, size_t count, const uint8_t *root, const uint8_t *key,
                 uint8_t *siblings, uint8_t *end, uint64_t *numbers) {
    struct proof proof = {.key = key, .siblings = siblings};
    struct child children[FAN], self = {.count = 0};
    uint8_t path[NIBBLES], hash[HASH];
    memcpy(self.hash, root, HASH);
    for (unsigned depth = 0, i = 0; i < count; i++) {
        struct node node;
        if (!read_node(nodes + offsets[i], (size_t)(offsets[i + 1] - offsets[i]), path, depth, &node))
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
        read_children(&node, children);
        hash_children(children, FAN, hash);
        if (memcmp(hash, self.hash, HASH) != 0)
            return -1;
        unsigned steps = proof.steps;
        const struct child *next = follow_children(&proof, children);
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
