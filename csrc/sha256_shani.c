/* SHA-256 compression with the SHA extensions of x86-64. One message keeps the unit half idle, for each pair of rounds
 * waits for the one before; so two messages in step take little longer than one.
 *
 * The instructions keep the state as ABEF and CDGH and do two rounds each (Intel, "New Instructions Supporting the
 * Secure Hash Algorithm on Intel Architecture Processors", 2013). */

#include "sha256_kernel.h"

#include <cpuid.h>
#include <immintrin.h>

#define INLINE static inline __attribute__((always_inline))

/* The registers are the 128-bit ones that every x86-64 system saves, so the processor alone decides. */
static bool usable(void) {
    unsigned a, b, c, d;
    if (!__get_cpuid(1, &a, &b, &c, &d) || !(c & bit_SSSE3) || !(c & bit_SSE4_1))
        return false;
    return __get_cpuid_count(7, 0, &a, &b, &c, &d) && (b & bit_SHA);
}

struct lane {
    __m128i abef, cdgh, saved_abef, saved_cdgh;
    __m128i w[4]; /* the last 16 words of the message schedule */
};

INLINE void load_state(struct lane *lane, const uint32_t state[8]) {
    __m128i dcba = _mm_loadu_si128((const __m128i *)state);
    __m128i hgfe = _mm_loadu_si128((const __m128i *)(state + 4));
    __m128i cdab = _mm_shuffle_epi32(dcba, 0xb1), efgh = _mm_shuffle_epi32(hgfe, 0x1b);
    lane->abef = _mm_alignr_epi8(cdab, efgh, 8);
    lane->cdgh = _mm_blend_epi16(efgh, cdab, 0xf0);
}

INLINE void store_state(const struct lane *lane, uint32_t state[8]) {
    __m128i feba = _mm_shuffle_epi32(lane->abef, 0x1b), dchg = _mm_shuffle_epi32(lane->cdgh, 0xb1);
    _mm_storeu_si128((__m128i *)state, _mm_blend_epi16(feba, dchg, 0xf0));
    _mm_storeu_si128((__m128i *)(state + 4), _mm_alignr_epi8(dchg, feba, 8));
}

INLINE void load_block(struct lane *lane, const uint8_t *block) {
    const __m128i big_endian = _mm_set_epi64x(0x0c0d0e0f08090a0b, 0x0405060700010203);
    for (unsigned i = 0; i < 4; i++)
        lane->w[i] = _mm_shuffle_epi8(_mm_loadu_si128((const __m128i *)(block + 16 * i)), big_endian);
    lane->saved_abef = lane->abef;
    lane->saved_cdgh = lane->cdgh;
}

/* Rounds 4 * step to 4 * step + 3, and from step 3 on the words that a later step needs. */
INLINE void four_rounds(struct lane *lane, unsigned step) {
    __m128i *w = lane->w;
    if (step >= 4) {
        __m128i w_minus_7 = _mm_alignr_epi8(w[(step + 3) % 4], w[(step + 2) % 4], 4);
        __m128i sum = _mm_add_epi32(_mm_sha256msg1_epu32(w[step % 4], w[(step + 1) % 4]), w_minus_7);
        w[step % 4] = _mm_sha256msg2_epu32(sum, w[(step + 3) % 4]);
    }
    __m128i keyed = _mm_add_epi32(w[step % 4], _mm_loadu_si128((const __m128i *)(mc_sha256_constants + 4 * step)));
    lane->cdgh = _mm_sha256rnds2_epu32(lane->cdgh, lane->abef, keyed);
    lane->abef = _mm_sha256rnds2_epu32(lane->abef, lane->cdgh, _mm_shuffle_epi32(keyed, 0x0e));
}

INLINE void add_saved(struct lane *lane) {
    lane->abef = _mm_add_epi32(lane->abef, lane->saved_abef);
    lane->cdgh = _mm_add_epi32(lane->cdgh, lane->saved_cdgh);
}

static void compress(uint32_t state[8], const uint8_t *data, size_t blocks) {
    struct lane lane;
    load_state(&lane, state);
    for (size_t i = 0; i < blocks; i++) {
        load_block(&lane, data + 64 * i);
#pragma GCC unroll 16
        for (unsigned step = 0; step < 16; step++)
            four_rounds(&lane, step);
        add_saved(&lane);
    }
    store_state(&lane, state);
}

static void compress_pair(uint32_t states[][8], const uint8_t *const data[], size_t blocks) {
    struct lane a, b;
    load_state(&a, states[0]);
    load_state(&b, states[1]);
    for (size_t i = 0; i < blocks; i++) {
        load_block(&a, data[0] + 64 * i);
        load_block(&b, data[1] + 64 * i);
#pragma GCC unroll 16
        for (unsigned step = 0; step < 16; step++) {
            four_rounds(&a, step);
            four_rounds(&b, step);
        }
        add_saved(&a);
        add_saved(&b);
    }
    store_state(&a, states[0]);
    store_state(&b, states[1]);
}

const struct mc_kernel mc_kernel_shani = {
    .name = "sha-ni", .usable = usable, .compress = compress, .compress_lanes = compress_pair, .lanes = 2};
