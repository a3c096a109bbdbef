/* Rows of a bucket after changes. What no change is among stays one subtree, whose hash is known from before. */

#include "map.h"

static struct rows skip(struct rows rows, size_t count) {
    return (struct rows){rows.rows + ROW * count, rows.leaves + HASH * count, rows.joins + HASH * count,
                         rows.splits + count, rows.count - count};
}

static struct rows limit(struct rows rows, size_t count) {
    rows.count = count;
    return rows;
}

struct rows mc_map_cut_rows(struct rows *rest, unsigned way, unsigned depth) {
    if (!rest->count)
        return *rest;
    struct changes all = {rest->rows, rest->count};
    struct rows front = limit(*rest, mc_map_cut(&all, way, depth).count);
    *rest = skip(*rest, front.count);
    return front;
}

size_t mc_map_count_after(struct rows rows, struct changes changes) {
    size_t count = rows.count, i = 0;
    for (size_t j = 0; j < changes.count; j++) {
        const uint8_t *change = changes.rows + ROW * j;
        int order = 1;
        while (i < rows.count && (order = memcmp(rows.rows + ROW * i, change, HASH)) < 0)
            i++;
        bool there = i < rows.count && order == 0, removed = mc_map_removes(change);
        count += !there && !removed;
        count -= there && removed;
    }
    return count;
}

static void gather_row(struct gather *out, const uint8_t *row, const uint8_t *leaf) {
    out->rows[out->count++] = row;
    out->parts[out->part_count++] = (struct part){.key = row, .hash = leaf, .depth = SINGLE};
}

static void gather_changes(struct gather *out, struct changes changes) {
    for (size_t i = 0; i < changes.count; i++)
        if (!mc_map_removes(changes.rows + ROW * i))
            gather_row(out, changes.rows + ROW * i, NULL);
}

/* Where the rows part first: all splits are deeper but this one. */
static size_t first_split(struct rows rows) {
    size_t first = 0;
    for (size_t i = 1; i + 1 < rows.count; i++)
        if (rows.splits[i] < rows.splits[first])
            first = i;
    return first;
}

/* Old rows that no change is among are one subtree, whose hash is known. */
static void gather_unchanged(struct gather *out, struct rows rows) {
    if (rows.count == 1) {
        gather_row(out, rows.rows, rows.leaves);
    } else if (rows.count) {
        size_t split = first_split(rows);
        out->parts[out->part_count++] =
            (struct part){.key = rows.rows, .hash = rows.joins + HASH * split, .depth = rows.splits[split]};
        for (size_t i = 0; i < rows.count; i++)
            out->rows[out->count++] = rows.rows + ROW * i;
    }
}

/* Cut off the changes at the front whose keys come before `key`, or only those that leave its path before `depth`. */
static struct changes cut_before(struct changes *rest, const uint8_t *key, unsigned depth) {
    struct changes front = {rest->rows, 0};
    for (; front.count < rest->count; front.count++) {
        const uint8_t *change = rest->rows + ROW * front.count;
        if (memcmp(change, key, HASH) >= 0 || map_split(change, key) >= depth)
            break;
    }
    rest->rows += ROW * front.count;
    rest->count -= front.count;
    return front;
}

/* Cut off the changes at the front that share the first `depth` bits with `key` and turn to `way` then. */
static struct changes cut_side(struct changes *rest, const uint8_t *key, unsigned depth, bool way) {
    struct changes front = {rest->rows, 0};
    for (; front.count < rest->count; front.count++) {
        const uint8_t *change = rest->rows + ROW * front.count;
        if (map_split(change, key) < depth || map_bit(change, depth) != way)
            break;
    }
    rest->rows += ROW * front.count;
    rest->count -= front.count;
    return front;
}

void mc_map_merge(struct gather *out, struct rows rows, struct changes changes) {
    if (!changes.count) {
        gather_unchanged(out, rows);
        return;
    }
    if (rows.count > 1) {
        size_t middle = first_split(rows);
        unsigned depth = rows.splits[middle];
        gather_changes(out, cut_before(&changes, rows.rows, depth));
        mc_map_merge(out, limit(rows, middle + 1), cut_side(&changes, rows.rows, depth, false));
        mc_map_merge(out, skip(rows, middle + 1), cut_side(&changes, rows.rows, depth, true));
    } else if (rows.count) {
        gather_changes(out, cut_before(&changes, rows.rows, 8 * HASH));
        if (!changes.count || memcmp(changes.rows, rows.rows, HASH) != 0)
            gather_row(out, rows.rows, rows.leaves);
    }
    gather_changes(out, changes);
}
