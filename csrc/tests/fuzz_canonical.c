/* The scan over bytes that chance has changed, each input at the end of an allocation of its own size.
 *
 * LLVMFuzzerTestOneInput is what libFuzzer calls, where a compiler has it. Everywhere else this program calls it with
 * changed examples, as many as its first argument says, always the same ones. tools/fuzz-c runs it under the sanitizers
 * for addresses and undefined behaviour, `meson test` without. */

#include "scan_prelude.h"
#include "check.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static uint64_t judge(const uint8_t *data, size_t size, uint64_t most) {
    uint8_t *copy = malloc(size ? size : 1);
    CHECK(copy != NULL);
    memcpy(copy, data, size);
    uint64_t fault = mc_canonical(copy, size, most);
    free(copy);
    CHECK((fault >> 8) <= size);
    CHECK((fault & 0xff) <= MC_TOO_MANY);
    CHECK(fault == 0 || (fault & 0xff) != 0);
    return fault;
}

/* What is accepted ends where it ends, and is refused from any smaller number of values on. */
static void holds(const uint8_t *data, size_t size) {
    uint64_t low = 0, high = size; /* as many values as there are bytes at most */
    CHECK(judge(data, size, high) == 0);
    while (low + 1 < high) {
        uint64_t middle = low + (high - low) / 2;
        if (judge(data, size, middle) == 0)
            high = middle;
        else
            low = middle;
    }
    CHECK((judge(data, size, high - 1) & 0xff) == MC_TOO_MANY);
    CHECK(judge(data, size - 1, UINT64_MAX) != 0);
    uint8_t *longer = malloc(size + 1);
    CHECK(longer != NULL);
    memcpy(longer, data, size);
    longer[size] = 0;
    CHECK(judge(longer, size + 1, UINT64_MAX) == ((uint64_t)size << 8 | MC_TRAILING));
    free(longer);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (judge(data, size, UINT64_MAX) == 0)
        holds(data, size);
    return 0;
}

#ifndef MC_LIBFUZZER

#define LONGEST 256

static uint64_t state = 1;

/* xorshift64* (Vigna 2016). */
static size_t below(size_t end) {
    state ^= state >> 12;
    state ^= state << 25;
    state ^= state >> 27;
    return (size_t)((state * UINT64_C(2685821657736338717)) >> 33) % end;
}

#define EIGHT "\x81\x81\x81\x81\x81\x81\x81\x81"

static const struct {
    size_t size;
    const char *data;
} examples[] = {
    {32, "\xa4\x61\x61\x83\x01\x20\xf6\x61\x62\x43\x00\x01\x02\x61\x63\xa1\x60\x80"
         "\x62\x61\x61\x6a\xc3\xa9\xe6\xb0\xb4\xf0\x90\x85\x91x"},
    {23, "\x85\x1b\x00\x00\x01\xa3\x00\x00\x00\x00\x38\x18\x19\x01\x00\x3a\x00\x01\x00\x00\x42\x00\x00"},
    {26, "\x78\x18one text of 24 characters"},
    {64, EIGHT EIGHT EIGHT EIGHT EIGHT EIGHT EIGHT "\x81\x81\x81\x81\x81\x81\x81\x80"},
    {1, "\xf5"},
};

/* Bytes that mean something: heads, their longest arguments, beginnings of UTF-8. */
static const uint8_t telling[] = {0x00, 0x17, 0x18, 0x19, 0x1a, 0x1b, 0x20, 0x3b, 0x40, 0x41, 0x5b, 0x60, 0x61, 0x7b,
                                  0x7f, 0x80, 0x81, 0x9b, 0xa0, 0xa1, 0xbb, 0xc2, 0xe0, 0xed, 0xf0, 0xf4, 0xf6, 0xff};

static size_t change(uint8_t *data, size_t size) {
    size_t at = below(size + 1), count = 1 + below(8);
    switch (below(5)) {
    case 0: /* another bit */
        if (at < size)
            data[at] = (uint8_t)(data[at] ^ 1u << below(8));
        return size;
    case 1: /* another byte */
        if (at < size)
            data[at] = telling[below(sizeof telling)];
        return size;
    case 2: /* an end */
        return at;
    case 3: /* a piece less */
        if (count > size - at)
            count = size - at;
        memmove(data + at, data + at + count, size - at - count);
        return size - count;
    default: /* a piece more */
        if (size + count > LONGEST)
            return size;
        memmove(data + at + count, data + at, size - at);
        for (size_t i = 0; i < count; i++)
            data[at + i] = below(4) ? telling[below(sizeof telling)] : (uint8_t)below(256);
        return size + count;
    }
}

int main(int argc, char **argv) {
    unsigned long inputs = argc > 1 ? strtoul(argv[1], NULL, 10) : 100000;
    uint8_t data[LONGEST];
    size_t size = 0;
    for (size_t i = 0; i < sizeof examples / sizeof *examples; i++)
        CHECK(judge((const uint8_t *)examples[i].data, examples[i].size, UINT64_MAX) == 0);
    for (unsigned long i = 0; i < inputs; i++) {
        if (i % 16 == 0) {
            size_t which = below(sizeof examples / sizeof *examples);
            size = examples[which].size;
            memcpy(data, examples[which].data, size);
        }
        size = change(data, size);
        LLVMFuzzerTestOneInput(data, size);
    }
    printf("%lu inputs\n", inputs);
    return 0;
}

#endif
