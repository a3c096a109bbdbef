/* What a SHA-256 kernel is: the compression function of FIPS 180-4 for one instruction set, and nothing else. */

#ifndef MEDCHAIN_SHA256_KERNEL_H
#define MEDCHAIN_SHA256_KERNEL_H

#include <stddef.h>
#include <stdint.h>

/* Absorb `blocks` blocks of 64 bytes into `state`. */
typedef void mc_compress(uint32_t state[8], const uint8_t *data, size_t blocks);

extern const uint32_t mc_sha256_initial[8];
extern const uint32_t mc_sha256_constants[64];

mc_compress mc_compress_portable;

#endif
