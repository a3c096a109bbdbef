/* Shamir's scheme over GF(256), constant time in the shares: bytes are multiplied eight at a time inside a 64-bit word by
 * shifts and masks, without tables and without branches on their values. The abscissae are public. */

#include "prelude.h"

#include <string.h>

#define LOW_BITS UINT64_C(0x0101010101010101)

static uint8_t multiply(uint8_t a, uint8_t b) {
    unsigned product = 0, x = a, y = b;
    for (unsigned bit = 0; bit < 8; bit++) {
        product ^= x & (0u - (y >> bit & 1u));
        x = (x << 1) ^ (0x11bu & (0u - (x >> 7 & 1u)));
    }
    return (uint8_t)product;
}

/* a^254, which is 1/a for a != 0. */
static uint8_t invert(uint8_t a) {
    uint8_t result = 1, square = a;
    for (unsigned i = 0; i < 7; i++) {
        square = multiply(square, square);
        result = multiply(result, square);
    }
    return result;
}

/* The eight bytes of `word`, each times `factor`. */
static uint64_t multiply_word(uint64_t word, uint8_t factor) {
    uint64_t product = 0, bits = factor;
    for (unsigned bit = 0; bit < 8; bit++) {
        product ^= word & (UINT64_C(0) - (bits >> bit & 1));
        uint64_t carry = word >> 7 & LOW_BITS;
        word = (word & ~(LOW_BITS << 7)) << 1 ^ carry * 0x1b;
    }
    return product;
}

/* row ^= factor * values, byte by byte. */
static void add_multiple(uint8_t *row, const uint8_t *values, size_t size, uint8_t factor) {
    uint64_t word, sum;
    size_t at = 0;
    for (; size - at >= sizeof word; at += sizeof word) {
        memcpy(&word, values + at, sizeof word);
        memcpy(&sum, row + at, sizeof sum);
        sum ^= multiply_word(word, factor);
        memcpy(row + at, &sum, sizeof sum);
    }
    for (; at < size; at++)
        row[at] ^= multiply(values[at], factor);
}

/* The Lagrange coefficient of abscissa `i` at `x`: product over j != i of (x - x_j) / (x_i - x_j). */
static uint8_t coefficient(const uint8_t *xs, size_t k, size_t i, uint8_t x) {
    uint8_t numerator = 1, denominator = 1;
    for (size_t j = 0; j < k; j++) {
        if (j == i)
            continue;
        numerator = multiply(numerator, x ^ xs[j]);
        denominator = multiply(denominator, xs[i] ^ xs[j]);
    }
    return multiply(numerator, invert(denominator));
}

int mc_gf256_interpolate(const uint8_t *xs, size_t k, const uint8_t *ys, size_t size,
                         const uint8_t *at, size_t m, uint8_t *out) {
    for (size_t i = 0; i < k; i++)
        for (size_t j = 0; j < i; j++)
            if (xs[i] == xs[j])
                return 1;
    memset(out, 0, m * size);
    for (size_t row = 0; row < m; row++)
        for (size_t i = 0; i < k; i++)
            add_multiple(out + row * size, ys + i * size, size, coefficient(xs, k, i, at[row]));
    return 0;
}
