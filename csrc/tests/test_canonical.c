/* The scan at the edges of its buffer: each case lies at the end of an allocation of its own size, so that a read
 * beyond it shows under valgrind or the address sanitizer. */

#include "scan_prelude.h"
#include "check.h"

#include <string.h>

static unsigned judge(const void *data, size_t size, size_t *offset) {
    uint8_t *copy = malloc(size ? size : 1);
    CHECK(copy != NULL);
    memcpy(copy, data, size);
    uint64_t fault = mc_canonical(copy, size, UINT64_MAX);
    free(copy);
    *offset = (size_t)(fault >> 8);
    return (unsigned)(fault & 0xff);
}

static void refuses_every_prefix(const char *data, size_t size) {
    size_t offset;
    CHECK(judge(data, size, &offset) == 0);
    for (size_t shorter = 0; shorter < size; shorter++) {
        CHECK(judge(data, shorter, &offset) != 0);
        CHECK(offset <= shorter);
    }
}

/* Any two bytes after the beginnings of values: a verdict, never more. */
static void survives_everything_short(void) {
    static const char *const starts[] = {"", "\x82", "\xa1", "\xa1\x61", "\x63", "\x64\xf4", "\x1b", "\x5b", "\x9b"};
    for (size_t start = 0; start < sizeof starts / sizeof *starts; start++)
        for (unsigned pair = 0; pair < 0x10000; pair++) {
            uint8_t data[8];
            size_t size = strlen(starts[start]), offset;
            memcpy(data, starts[start], size);
            data[size] = (uint8_t)(pair >> 8);
            data[size + 1] = (uint8_t)pair;
            judge(data, size + 2, &offset);
            CHECK(offset <= size + 2);
        }
}

static void ends_nesting_at_64(void) {
    uint8_t data[1000];
    size_t offset;
    memset(data, 0x81, sizeof data);
    data[64] = 0x00;
    CHECK(judge(data, 65, &offset) == 0);
    data[64] = 0x80;
    CHECK(judge(data, 65, &offset) == MC_TOO_DEEP && offset == 64);
    data[64] = 0x81;
    CHECK(judge(data, sizeof data, &offset) == MC_TOO_DEEP && offset == 64);
}

static void bounds_counts(void) {
    size_t offset;
    CHECK(judge("\xbb\x80\x00\x00\x00\x00\x00\x00\x01", 9, &offset) == MC_TRUNCATED); /* 2 * count would wrap to 2 */
    CHECK(judge("\x7b\xff\xff\xff\xff\xff\xff\xff\xff", 9, &offset) == MC_TRUNCATED);
}

/* {"a": [1, -1, null], "b": h'00'}: the map, two keys, a list, three values, bytes. */
static void counts_values(void) {
    static const uint8_t data[] = {0xa2, 0x61, 0x61, 0x83, 0x01, 0x20, 0xf6, 0x61, 0x62, 0x41, 0x00};
    static const uint8_t starts[] = {0, 1, 3, 4, 5, 6, 7, 9};
    CHECK(mc_canonical(data, sizeof data, sizeof starts) == 0);
    for (size_t most = 0; most < sizeof starts; most++)
        CHECK(mc_canonical(data, sizeof data, most) == ((uint64_t)starts[most] << 8 | MC_TOO_MANY));
}

int main(void) {
    static const char example[] = "\xa3\x61\x61\x83\x01\x20\xf6\x61\x62\x43\x00\x01\x02\x62\x61\x61\x6a"
                                  "\xc3\xa9\xe6\xb0\xb4\xf0\x90\x85\x91x";
    refuses_every_prefix(example, sizeof example - 1);
    survives_everything_short();
    ends_nesting_at_64();
    bounds_counts();
    counts_values();
    return 0;
}
