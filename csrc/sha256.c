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

/* Big-endian. Said in one piece, since compilers make much ado of storing byte by byte in a loop. */
static void store(uint8_t *p, uint32_t x) {
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    x = __builtin_bswap32(x);
#endif
    memcpy(p, &x, sizeof x);
}

static void store_digest(uint8_t *digest, const uint32_t state[8]) {
    for (unsigned i = 0; i < 8; i++)
        store(digest + 4 * i, state[i]);
}

static void store_length(uint8_t *end, uint64_t bytes) {
    store(end - 8, (uint32_t)(bytes >> 29));
    store(end - 4, (uint32_t)(bytes << 3));
}

/* One message, or as many as the kernel has lanes. */
static void compress_all(const struct mc_kernel *kernel, unsigned lanes, uint32_t states[][8],
                         const uint8_t *const data[], size_t blocks) {
    if (lanes == 1)
        kernel->compress(states[0], data[0], blocks);
    else
        kernel->compress_lanes(states, data, blocks);
}

/* Messages of one size. As many as STAGE are put together in buffers before the first is compressed: a kernel that reads
 * what has just been written, cut otherwise, would wait for it. What all have in common, padding and length, is written
 * once. Digests are stored after everything was read, so that they may overlap the messages. */
#define STAGE 16

struct batch {
    const struct mc_kernel *kernel;
    size_t size;     /* of a message, without its prefix */
    bool prefixed;
    uint8_t prefix;
    bool short_;     /* a message with prefix and padding fits into a buffer; else the buffer takes what is behind the
                        last whole block */
    size_t end;      /* where the padding begins in a buffer */
    size_t blocks;   /* how many blocks of a buffer count */
    size_t prepared; /* how many buffers are padded */
    uint8_t buffers[STAGE][128];
};

static struct batch *start(struct batch *batch, const struct mc_kernel *kernel, int prefix, size_t size) {
    batch->kernel = kernel;
    batch->size = size;
    batch->prefixed = prefix >= 0;
    batch->prefix = (uint8_t)prefix;
    size_t total = size + batch->prefixed;
    batch->short_ = total + 9 <= sizeof batch->buffers[0];
    batch->end = batch->short_ ? total : total % 64;
    batch->blocks = (batch->end + 9 + 63) / 64;
    batch->prepared = 0;
    return batch;
}

static void prepare(struct batch *batch, size_t count) {
    for (; batch->prepared < count; batch->prepared++) {
        uint8_t *buffer = batch->buffers[batch->prepared];
        memset(buffer, 0, 64 * batch->blocks);
        buffer[0] = batch->prefix;
        buffer[batch->end] = 0x80;
        store_length(buffer + 64 * batch->blocks, (uint64_t)batch->size + batch->prefixed);
    }
}

/* The whole blocks of long messages: the first is put together behind the prefix, the others are read where they lie. */
static void absorb_whole(const struct batch *batch, unsigned lanes, const uint8_t *const data[], uint32_t states[][8]) {
    uint8_t first[MC_MAX_LANES][64];
    const uint8_t *at[MC_MAX_LANES] = {NULL};
    size_t taken = 0;
    if (batch->prefixed) {
        taken = 63;
        for (unsigned lane = 0; lane < lanes; lane++) {
            first[lane][0] = batch->prefix;
            memcpy(first[lane] + 1, data[lane], taken);
            at[lane] = first[lane];
        }
        compress_all(batch->kernel, lanes, states, at, 1);
    }
    for (unsigned lane = 0; lane < lanes; lane++)
        at[lane] = data[lane] + taken;
    compress_all(batch->kernel, lanes, states, at, (batch->size - taken) / 64);
}

/* Hash `count` messages, STAGE at most. */
static void hash_staged(struct batch *batch, size_t count, const uint8_t *const data[], uint8_t *out) {
    uint32_t states[STAGE][8];
    const uint8_t *at[STAGE];
    prepare(batch, count);
    size_t begin = batch->short_ && batch->prefixed ? 1 : 0, rest = batch->end - begin;
    for (size_t i = 0; i < count; i++) {
        memcpy(states[i], mc_sha256_initial, sizeof states[i]);
        if (rest)
            memcpy(batch->buffers[i] + begin, data[i] + (batch->size - rest), rest);
        at[i] = batch->buffers[i];
    }
    for (size_t i = 0; i < count;) {
        unsigned lanes = count - i < batch->kernel->lanes ? 1 : batch->kernel->lanes;
        if (!batch->short_)
            absorb_whole(batch, lanes, data + i, states + i);
        compress_all(batch->kernel, lanes, states + i, at + i, batch->blocks);
        i += lanes;
    }
    for (size_t i = 0; i < count; i++)
        store_digest(out + 32 * i, states[i]);
}

void mc_sha256(const uint8_t *data, size_t size, uint8_t *digest) {
    struct batch batch;
    hash_staged(start(&batch, mc_current_kernel(), -1, size), 1, &data, digest);
}

void mc_hash_many(int prefix, const uint8_t *data, size_t size, const uint64_t *offsets, size_t count, uint8_t *out) {
    const uint8_t *messages[STAGE];
    struct batch batch;
    start(&batch, mc_current_kernel(), prefix, size);
    for (size_t done = 0; done < count;) {
        const uint64_t *from = offsets ? offsets + done : NULL;
        if (from && from[1] - from[0] != batch.size)
            start(&batch, batch.kernel, prefix, (size_t)(from[1] - from[0]));
        size_t staged = 0;
        do { /* as many neighbours as have one size */
            messages[staged] = data + (from ? (size_t)from[staged] : (done + staged) * size);
            staged++;
        } while (staged < STAGE && done + staged < count &&
                 (!from || from[staged + 1] - from[staged] == batch.size));
        hash_staged(&batch, staged, messages, out + 32 * done);
        done += staged;
    }
}
