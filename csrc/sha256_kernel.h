/* What a SHA-256 kernel is: the compression function of FIPS 180-4 for one instruction set, and nothing else. */

#ifndef MEDCHAIN_SHA256_KERNEL_H
#define MEDCHAIN_SHA256_KERNEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MC_MAX_LANES 2

/* Absorb `blocks` blocks of 64 bytes into `state`. */
typedef void mc_compress(uint32_t state[8], const uint8_t *data, size_t blocks);

/* The same for as many independent messages as the kernel has lanes, in step. */
typedef void mc_compress_lanes(uint32_t states[][8], const uint8_t *const data[], size_t blocks);

struct mc_kernel {
    const char *name;
    bool (*usable)(void); /* NULL: always */
    mc_compress *compress;
    mc_compress_lanes *compress_lanes; /* NULL: one lane */
    unsigned lanes;
};

extern const uint32_t mc_sha256_initial[8];
extern const uint32_t mc_sha256_constants[64];

extern const struct mc_kernel mc_kernel_portable;
#ifdef MC_HAVE_SHANI
extern const struct mc_kernel mc_kernel_shani;
#endif

/* The kernel in use: the forced one, or the fastest that this processor has. */
const struct mc_kernel *mc_current_kernel(void);

#endif
