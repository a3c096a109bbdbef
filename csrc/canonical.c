/* The one judge of canonical form: a scan that accepts exactly the DAG-CBOR profile and builds nothing.
 *
 * The profile: unsigned and negative integers in -2^63 .. 2^63-1, byte strings, UTF-8 text, lists, maps with text keys
 * in ascending order of (length, bytes), false, true, null; every head in its shortest form, every length definite; at
 * most 64 containers inside one another. RFC 8949 names the parts of an item; "head" below is its initial byte and
 * argument. */

#include "scan_prelude.h"

#include <stdbool.h>
#include <string.h>

#define MAX_DEPTH 64

enum major { UNSIGNED = 0, NEGATIVE = 1, BYTES = 2, TEXT = 3, LIST = 4, MAP = 5, TAG = 6, OTHER = 7 };

struct container {
    uint64_t left;      /* items still to come; a map counts keys and values */
    const uint8_t *key; /* the last key of a map, or NULL */
    uint64_t key_size;
    bool map;
};

static uint64_t refuse(size_t offset, enum mc_canonical_reason reason) {
    return (uint64_t)offset << 8 | (uint64_t)reason;
}

/* Read the argument of a head whose additional information is `info`. `*at` stands behind the initial byte and is moved
 * behind the argument. Returns 0 or the reason for refusal. */
static unsigned read_argument(const uint8_t *data, size_t size, size_t *at, unsigned info, uint64_t *argument) {
    if (info < 24) {
        *argument = info;
        return 0;
    }
    if (info > 27)
        return MC_INDEFINITE;
    size_t width = (size_t)1 << (info - 24);
    if (size - *at < width)
        return MC_TRUNCATED;
    uint64_t value = 0;
    for (size_t i = 0; i < width; i++)
        value = value << 8 | data[*at + i];
    *at += width;
    *argument = value;
    bool shortest = width == 1 ? value >= 24 : value >> (4 * width) != 0;
    return shortest ? 0 : MC_NOT_SHORTEST;
}

/* The length of the UTF-8 sequence at `p` (RFC 3629, section 4), with `rest` bytes left, or 0 if there is none. */
static size_t utf8_sequence(const uint8_t *p, size_t rest) {
    uint8_t first = p[0];
    if (first < 0x80)
        return 1;
    size_t length = first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
    if (first < 0xc2 || first > 0xf4 || rest < length)
        return 0;
    /* The second byte alone tells overlong forms, surrogates and what lies above U+10FFFF. */
    uint8_t low = first == 0xe0 ? 0xa0 : first == 0xf0 ? 0x90 : 0x80;
    uint8_t high = first == 0xed ? 0x9f : first == 0xf4 ? 0x8f : 0xbf;
    if (p[1] < low || p[1] > high)
        return 0;
    for (size_t i = 2; i < length; i++)
        if ((p[i] & 0xc0) != 0x80)
            return 0;
    return length;
}

/* How many bytes of `p` are valid UTF-8 from the beginning: `size` if all are. */
static size_t utf8_prefix(const uint8_t *p, size_t size) {
    size_t at = 0;
    while (at < size) {
        uint64_t word;
        while (size - at >= sizeof word) {
            memcpy(&word, p + at, sizeof word);
            if (word & UINT64_C(0x8080808080808080))
                break;
            at += sizeof word;
        }
        if (at == size)
            break;
        size_t length = utf8_sequence(p + at, size - at);
        if (length == 0)
            break;
        at += length;
    }
    return at;
}

/* Whether a key may follow the last one of its map: 0 or the reason for refusal. */
static unsigned check_order(const struct container *map, const uint8_t *key, uint64_t key_size) {
    if (map->key == NULL || map->key_size < key_size)
        return 0;
    if (map->key_size > key_size)
        return MC_KEY_ORDER;
    int order = memcmp(map->key, key, (size_t)key_size);
    return order < 0 ? 0 : order == 0 ? MC_KEY_TWICE : MC_KEY_ORDER;
}

uint64_t mc_canonical(const uint8_t *data, size_t size, uint64_t most) {
    struct container stack[MAX_DEPTH + 1];
    struct container *top = stack;
    *top = (struct container){.left = 1};
    size_t at = 0;
    for (;;) {
        while (top->left == 0) {
            if (top == stack)
                return at == size ? 0 : refuse(at, MC_TRAILING);
            top--;
        }
        bool key = top->map && top->left % 2 == 0;
        top->left--;
        if (at == size)
            return refuse(at, MC_TRUNCATED);

        if (most-- == 0)
            return refuse(at, MC_TOO_MANY);

        size_t start = at;
        unsigned initial = data[at++];
        enum major major = (enum major)(initial >> 5);
        if (key && major != TEXT)
            return refuse(start, MC_KEY_NOT_TEXT);
        if (major == TAG)
            return refuse(start, MC_TAG);
        if (major == OTHER) {
            if (initial >= 0xf4 && initial <= 0xf6) /* false, true, null */
                continue;
            return refuse(start, initial >= 0xf9 && initial <= 0xfb ? MC_FLOAT
                                 : initial == 0xff                  ? MC_INDEFINITE
                                                                    : MC_SIMPLE);
        }
        uint64_t argument;
        unsigned reason = read_argument(data, size, &at, initial & 31, &argument);
        if (reason)
            return refuse(start, (enum mc_canonical_reason)reason);

        uint64_t rest = size - at;
        switch (major) {
        case UNSIGNED:
        case NEGATIVE:
            if (argument > INT64_MAX)
                return refuse(start, MC_INTEGER_RANGE);
            break;
        case BYTES:
            if (argument > rest)
                return refuse(start, MC_TRUNCATED);
            at += (size_t)argument;
            break;
        case TEXT: {
            if (argument > rest)
                return refuse(start, MC_TRUNCATED);
            const uint8_t *text = data + at;
            size_t valid = utf8_prefix(text, (size_t)argument);
            if (valid != argument)
                return refuse(at + valid, MC_BAD_UTF8);
            if (key) {
                reason = check_order(top, text, argument);
                if (reason)
                    return refuse(start, (enum mc_canonical_reason)reason);
                top->key = text;
                top->key_size = argument;
            }
            at += (size_t)argument;
            break;
        }
        default: /* LIST, MAP: each item takes a byte at least, so a larger count cannot be honest, nor overflow below */
            if (top == stack + MAX_DEPTH)
                return refuse(start, MC_TOO_DEEP);
            if (argument > (major == MAP ? rest / 2 : rest))
                return refuse(start, MC_TRUNCATED);
            *++top = (struct container){.left = major == MAP ? 2 * argument : argument, .map = major == MAP};
        }
    }
}
