/* The packed map through random batches against the plain definition, and nodes that chance has changed. Whatever C is
 * given lies in an allocation of its own size.
 *
 * As many batches as the first argument says, always the same ones. tools/fuzz-c runs it under the sanitizers for addresses
 * and undefined behaviour, `meson test` without. */

#include "prelude.h"
#include "check.h"

#include <stdbool.h>
#include <string.h>

enum { ROW = 64, MOST_ROWS = 3000, MOST_CHANGES = 400, MOST_NODES = 1 << 14 };

static uint64_t state = 1;

/* xorshift64* (Vigna 2016). */
static size_t below(size_t end) {
    state ^= state >> 12;
    state ^= state << 25;
    state ^= state >> 27;
    return (size_t)((state * 0x2545f4914f6cdd1d >> 33) % end);
}

/* The plain map: rows in order, and the root by its definition (docs/spec/state.md). */
static uint8_t rows[(MOST_ROWS + MOST_CHANGES) * ROW];
static size_t row_count;

static bool bit(const uint8_t *key, unsigned depth) { return key[depth / 8] >> (7 - depth % 8) & 1; }

static void define(const uint8_t *some, size_t count, unsigned depth, uint8_t *root) {
    uint8_t pair[64];
    size_t left = 0;
    memset(root, 0, 32);
    if (count == 1)
        mc_hash_many(0x00, some, ROW, NULL, 1, root);
    if (count <= 1)
        return;
    while (left < count && !bit(some + ROW * left, depth))
        left++;
    define(some, left, depth + 1, pair);
    define(some + ROW * left, count - left, depth + 1, pair + 32);
    mc_hash_many(0x01, pair, 64, NULL, 1, root);
}

static void set(const uint8_t *change) {
    static const uint8_t removed[32];
    size_t at = 0;
    while (at < row_count && memcmp(rows + ROW * at, change, 32) < 0)
        at++;
    bool there = at < row_count && memcmp(rows + ROW * at, change, 32) == 0;
    bool remove = memcmp(change + 32, removed, 32) == 0;
    uint8_t *row = rows + ROW * at, *rest = row + ROW * (size_t)there;
    size_t size = (size_t)(rows + ROW * row_count - rest);
    if (remove)
        memmove(row, rest, size);
    else {
        memmove(row + ROW, rest, size);
        memcpy(row, change, ROW);
    }
    row_count = row_count + !remove - there;
}

/* The store. */
static struct stored {
    uint8_t key[8 + 64], *data;
    size_t key_size, size;
} store[MOST_NODES];
static size_t stored_count;

static void *exactly(const void *data, size_t size) {
    uint8_t *copy = malloc(size ? size : 1);
    CHECK(copy != NULL);
    if (size)
        memcpy(copy, data, size);
    return copy;
}

static const struct stored *load(const uint8_t *key, size_t size) {
    for (size_t i = stored_count; i-- > 0;)
        if (store[i].key_size == size && memcmp(store[i].key, key, size) == 0)
            return &store[i];
    CHECK(!"a node that is wanted is stored");
    return NULL;
}

static void keep(const uint8_t *key, size_t key_size, const uint8_t *data, size_t size) {
    CHECK(stored_count < MOST_NODES);
    struct stored *node = &store[stored_count++];
    memcpy(node->key, key, key_size);
    node->key_size = key_size;
    node->data = exactly(data, size);
    node->size = size;
}

/* Loaded nodes in preorder. */
static const struct stored *loaded[MOST_NODES];
static size_t loaded_count;

static int by_path(const void *a, const void *b) {
    const struct stored *x = *(const struct stored *const *)a, *y = *(const struct stored *const *)b;
    size_t common = x->key_size < y->key_size ? x->key_size : y->key_size;
    int order = memcmp(x->key + 8, y->key + 8, common - 8);
    return order ? order : (x->key_size > y->key_size) - (x->key_size < y->key_size);
}

struct buffer {
    uint8_t *nodes;
    uint64_t *offsets;
};

static struct buffer join_loaded(void) {
    struct buffer buffer;
    size_t size = 0;
    qsort(loaded, loaded_count, sizeof loaded[0], by_path);
    buffer.offsets = malloc((loaded_count + 1) * sizeof buffer.offsets[0]);
    CHECK(buffer.offsets != NULL);
    for (size_t i = 0; i < loaded_count; i++) {
        buffer.offsets[i] = size;
        size += loaded[i]->size;
    }
    buffer.offsets[loaded_count] = size;
    buffer.nodes = malloc(size ? size : 1);
    CHECK(buffer.nodes != NULL);
    for (size_t i = 0; i < loaded_count; i++)
        memcpy(buffer.nodes + buffer.offsets[i], loaded[i]->data, loaded[i]->size);
    return buffer;
}

static void drop(struct buffer buffer) {
    free(buffer.nodes);
    free(buffer.offsets);
}

/* The map, and a batch of changes. */
static uint8_t root[32], *top, changes[MOST_CHANGES * ROW];
static size_t top_size, change_count;
static uint64_t version, map_rows, bar, budget;

static void find_missing(void) {
    for (uint64_t more = 1; more;) {
        struct buffer buffer = join_loaded();
        uint64_t numbers[3] = {version, map_rows, 0};
        size_t room = 1 << 16;
        uint8_t *wanted = malloc(room);
        CHECK(wanted != NULL);
        int64_t size = mc_map_missing(top, top_size, buffer.nodes, buffer.offsets, loaded_count, root, numbers, changes,
                                      change_count, bar, budget, wanted, room);
        CHECK(size >= 0 && size <= (int64_t)room);
        for (size_t at = 0; at < (size_t)size; at += 9 + (size_t)wanted[at])
            loaded[loaded_count++] = load(wanted + at + 1, 8 + (size_t)wanted[at]);
        more = numbers[2];
        CHECK(!more || size);
        free(wanted);
        drop(buffer);
    }
}

/* Apply the changes to nodes that may be damaged; what comes out is kept if `good`. */
static int apply(struct buffer buffer, uint8_t *new_root, bool good) {
    size_t size = 0, count = 0, length = (size_t)buffer.offsets[loaded_count];
    for (;;) {
        uint64_t numbers[6] = {version, map_rows, version + 1, 0, 0, 0};
        uint8_t *out = malloc(size ? size : 1), *work = malloc(length ? length : 1);
        uint64_t *spans = malloc(count ? 24 * count : 1);
        CHECK(out != NULL && work != NULL && spans != NULL);
        memcpy(new_root, root, 32);
        int answer = mc_map_change(top, top_size, buffer.nodes, buffer.offsets, loaded_count, work, new_root, numbers,
                                   changes, change_count, bar, budget, out, size, spans, count);
        for (size_t i = 0; answer == 0 && good && i < count; i++)
            keep(out + spans[3 * i], (size_t)(spans[3 * i + 1] - spans[3 * i]), out + spans[3 * i + 1],
                 (size_t)(spans[3 * i + 2] - spans[3 * i + 1]));
        if (answer == 0 && good) {
            mc_map_keep(top, top_size, out, spans, count, new_root, version + 1);
            map_rows = numbers[1];
        }
        free(out);
        free(work);
        free(spans);
        if (answer != 1)
            return answer;
        CHECK(numbers[4] > size || numbers[5] > count);
        size = (size_t)numbers[4];
        count = (size_t)numbers[5];
    }
}

/* Whether a byte of a node is among the numbers of its children, which no hash covers. */
static bool number(const struct stored *node, size_t at) {
    size_t head = 2 + (size_t)node->data[1] + 2;
    return node->data[0] == 2 && at >= head && (at - head) % 56 >= 32;
}

/* With damaged nodes nothing else comes out than without; at most it is told that they are. */
static void attack(const uint8_t *expected) {
    struct buffer buffer = join_loaded();
    uint8_t found[32], siblings[256 * 32], end[ROW];
    bool told = true;
    for (size_t i = below(3); i-- && loaded_count;) {
        size_t which = below(loaded_count), size = loaded[which]->size, at = below(size);
        told = told && !number(loaded[which], at);
        buffer.nodes[buffer.offsets[which] + at] ^= (uint8_t)(1u << below(8));
    }
    if (loaded_count > 1 && below(4) == 0) { /* where a node ends */
        uint64_t *offset = &buffer.offsets[1 + below(loaded_count - 1)];
        *offset -= below((size_t)(*offset - offset[-1]) + 1);
    }
    uint64_t numbers[4] = {version, map_rows, 0, 0};
    uint8_t wanted[9];
    mc_map_missing(top, top_size, buffer.nodes, buffer.offsets, loaded_count, root, numbers, changes, change_count, bar,
                   budget, wanted, sizeof wanted);
    int answer = apply(buffer, found, false);
    CHECK(answer == 0 || answer == -1);
    CHECK(answer == -1 || !told || memcmp(found, expected, 32) == 0);
    mc_map_prove(buffer.nodes, buffer.offsets, loaded_count, root, rows, siblings, end, numbers);
    drop(buffer);
}

/* Keys that chance has drawn, some of which agree in many bits, and keys that are there. */
static void draw(uint8_t *change, bool shrinking) {
    for (size_t i = 0; i < 32; i++)
        change[i] = (uint8_t)below(256);
    size_t kind = below(10);
    if (kind == 0)
        memset(change, 7, 31);
    else if (kind == 1)
        memset(change, 9, below(32));
    else if (row_count && kind < (shrinking ? 10 : 5))
        memcpy(change, rows + ROW * below(row_count), 32);
    for (size_t i = 0; i < 32; i++)
        change[32 + i] = (uint8_t)below(256);
    if (below(10) < (shrinking ? 9u : 2u))
        memset(change + 32, 0, 32);
}

static int by_key(const void *a, const void *b) { return memcmp(a, b, 32); }

static void draw_changes(bool shrinking) {
    size_t count = below(4) ? below(20) : below(MOST_CHANGES), kept = 0;
    for (size_t i = 0; i < count; i++)
        draw(changes + ROW * i, shrinking);
    qsort(changes, count, ROW, by_key);
    for (size_t i = 0; i < count; i++)
        if (!kept || memcmp(changes + ROW * (kept - 1), changes + ROW * i, 32) != 0)
            memmove(changes + ROW * kept++, changes + ROW * i, ROW);
    change_count = kept;
}

static void begin(void) {
    static const uint8_t key[8], empty[2] = {1, 0};
    for (size_t i = 0; i < stored_count; i++)
        free(store[i].data);
    stored_count = 0;
    keep(key, sizeof key, empty, sizeof empty);
    memset(root, 0, 32);
    version = map_rows = 0;
    row_count = 0;
    free(top);
    top_size = mc_map_top_size((unsigned)below(5));
    top_size -= top_size ? below(2) : 0;
    top = calloc(top_size ? top_size : 1, 1);
    CHECK(top != NULL);
}

int main(int argc, char **argv) {
    unsigned long batches = argc > 1 ? strtoul(argv[1], NULL, 10) : 1000;
    begin();
    for (unsigned long i = 0; i < batches; i++) {
        if (stored_count > MOST_NODES / 2 || row_count > MOST_ROWS)
            begin();
        draw_changes(below(400) < row_count);
        bar = below(3) ? 0 : version - below((size_t)version + 1);
        budget = below(3) ? 0 : below(60);
        loaded_count = 0;
        find_missing();
        uint8_t expected[32], found[32];
        for (size_t j = 0; j < change_count; j++)
            set(changes + ROW * j);
        define(rows, row_count, 0, expected);
        for (size_t j = 0; j < 4; j++)
            attack(expected);
        struct buffer buffer = join_loaded();
        CHECK(apply(buffer, found, true) == 0);
        CHECK(memcmp(found, expected, 32) == 0);
        CHECK(map_rows == row_count);
        drop(buffer);
        memcpy(root, found, 32);
        version++;
    }
    begin();
    free(store[0].data);
    free(top);
    printf("%lu batches\n", batches);
    return 0;
}
