/* Every kernel gives the digests of the portable one, wherever a message lies and however long it is. */

#include "prelude.h"
#include "check.h"

#include <string.h>

enum { MOST = 300, COUNT = 19 };

static void use(const char *name) {
    size_t rank = 0;
    while (strcmp(mc_kernel_name(rank), name) != 0)
        rank++;
    CHECK(mc_force_kernel(rank) == 0);
    CHECK(mc_kernel() == rank);
}

static void agrees_with_portable(const char *name, const uint8_t *data) {
    uint8_t expected[32 * COUNT], found[32 * COUNT];
    for (int prefix = -1; prefix < 2; prefix++)
        for (size_t size = 0; size < MOST; size++) {
            use("portable");
            mc_hash_many(prefix, data, size, NULL, COUNT, expected);
            use(name);
            mc_hash_many(prefix, data, size, NULL, COUNT, found);
            CHECK(memcmp(expected, found, sizeof found) == 0);
        }
}

static void knows_abc(void) {
    static const uint8_t expected[32] = {
        0xba, 0x78, 0x16, 0xbf, 0x8f, 0x01, 0xcf, 0xea, 0x41, 0x41, 0x40, 0xde, 0x5d, 0xae, 0x22, 0x23,
        0xb0, 0x03, 0x61, 0xa3, 0x96, 0x17, 0x7a, 0x9c, 0xb4, 0x10, 0xff, 0x61, 0xf2, 0x00, 0x15, 0xad,
    };
    uint8_t digest[32];
    mc_sha256((const uint8_t *)"abc", 3, digest);
    CHECK(memcmp(digest, expected, sizeof digest) == 0);
}

int main(void) {
    uint8_t *data = malloc((size_t)MOST * COUNT);
    CHECK(data != NULL);
    for (size_t i = 0; i < MOST * COUNT; i++)
        data[i] = (uint8_t)(i * 167 + i / 251);
    for (size_t rank = 0; mc_kernel_name(rank) != NULL; rank++) {
        if (!mc_kernel_usable(rank)) {
            CHECK(mc_force_kernel(rank) == 1);
            continue;
        }
        use(mc_kernel_name(rank));
        knows_abc();
        agrees_with_portable(mc_kernel_name(rank), data);
    }
    free(data);
    mc_free_kernel();
    CHECK(mc_kernel_usable(mc_kernel()));
    return 0;
}
