/* SHA-256 (FIPS 180-4) over whole messages, one or many; the compression comes from a kernel. */

#include "prelude.h"
#include "sha256_kernel.h"

#include <string.h>

const uint32_t mc_sha256_initial[8] = {
    0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19,
};

const uint32_t mc_sha256_constants[64] = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
};

static void store(uint8_t *p, uint32_t x) {
    p[0] = (uint8_t)(x >> 24), p[1] = (uint8_t)(x >> 16), p[2] = (uint8_t)(x >> 8), p[3] = (uint8_t)x;
}

static void store_digest(uint8_t *digest, const uint32_t state[8]) {
    for (unsigned i = 0; i < 8; i++)
        store(digest + 4 * i, state[i]);
}

static void store_length(uint8_t *end, uint64_t bytes) {
    store(end - 8, (uint32_t)(bytes >> 29));
    store(end - 4, (uint32_t)(bytes << 3));
}

static void compress_all(const struct mc_kernel *kernel, unsigned lanes, uint32_t states[][8],
                         const uint8_t *const data[], size_t blocks) {
    if (lanes > 1 && lanes == kernel->lanes) {
        kernel->compress_lanes(states, data, blocks);
        return;
    }
    for (unsigned lane = 0; lane < lanes; lane++)
        kernel->compress(states[lane], data[lane], blocks);
}

/* Hash `lanes` messages of `size` bytes each, with the byte `prefix` before them unless it is negative. Everything is
 * read before anything is written, so that `out` may overlap `data`. */
static void hash_lanes(const struct mc_kernel *kernel, unsigned lanes, int prefix, const uint8_t *const data[],
                       size_t size, uint8_t *out) {
    uint32_t states[MC_MAX_LANES][8];
    uint8_t buffers[MC_MAX_LANES][128];
    const uint8_t *at[MC_MAX_LANES];
    size_t filled = prefix < 0 ? 0 : 1, taken = 0;
    for (unsigned lane = 0; lane < lanes; lane++) {
        memcpy(states[lane], mc_sha256_initial, sizeof states[lane]);
        buffers[lane][0] = (uint8_t)prefix;
    }
    if (filled && size >= 63) {
        for (unsigned lane = 0; lane < lanes; lane++) {
            memcpy(buffers[lane] + 1, data[lane], 63);
            at[lane] = buffers[lane];
        }
        compress_all(kernel, lanes, states, at, 1);
        filled = 0, taken = 63;
    }
    if (!filled) { /* whole blocks are read where they lie */
        for (unsigned lane = 0; lane < lanes; lane++)
            at[lane] = data[lane] + taken;
        compress_all(kernel, lanes, states, at, (size - taken) / 64);
        taken += (size - taken) / 64 * 64;
    }
    size_t rest = size - taken, end = filled + rest, blocks = end < 56 ? 1 : 2;
    for (unsigned lane = 0; lane < lanes; lane++) {
        uint8_t *buffer = buffers[lane];
        if (rest)
            memcpy(buffer + filled, data[lane] + taken, rest);
        buffer[end] = 0x80;
        memset(buffer + end + 1, 0, 64 * blocks - end - 1);
        store_length(buffer + 64 * blocks, (uint64_t)size + (prefix < 0 ? 0 : 1));
        at[lane] = buffer;
    }
    compress_all(kernel, lanes, states, at, blocks);
    for (unsigned lane = 0; lane < lanes; lane++)
        store_digest(out + 32 * lane, states[lane]);
}

void mc_sha256(const uint8_t *data, size_t size, uint8_t *digest) {
    hash_lanes(mc_current_kernel(), 1, -1, &data, size, digest);
}

void mc_hash_many(int prefix, const uint8_t *data, size_t size, const uint64_t *offsets, size_t count, uint8_t *out) {
    const struct mc_kernel *kernel = mc_current_kernel();
    const uint8_t *messages[MC_MAX_LANES];
    for (size_t i = 0; i < count;) {
        if (offsets)
            size = (size_t)(offsets[i + 1] - offsets[i]);
        unsigned lanes = 0;
        do { /* as many neighbours of equal size as the kernel takes in step */
            messages[lanes] = data + (offsets ? (size_t)offsets[i + lanes] : (i + lanes) * size);
            lanes++;
        } while (lanes < kernel->lanes && i + lanes < count &&
                 (!offsets || offsets[i + lanes + 1] - offsets[i + lanes] == size));
        hash_lanes(kernel, lanes, prefix, messages, size, out + 32 * i);
        i += lanes;
    }
}
