/* Which SHA-256 kernel runs: found out once, kept in an atomic, forcible so that tests can reach every kernel. */

#include "prelude.h"
#include "sha256_kernel.h"

#include <stdatomic.h>

static const struct mc_kernel *const kernels[] = {
#ifdef MC_HAVE_SHANI
    &mc_kernel_shani,
#endif
    &mc_kernel_portable,
};

#define COUNT (sizeof kernels / sizeof *kernels)

/* NULL until the first use. Threads that race here all store the same answer. */
static _Atomic(const struct mc_kernel *) current;

static bool usable(const struct mc_kernel *kernel) { return kernel->usable == NULL || kernel->usable(); }

const struct mc_kernel *mc_current_kernel(void) {
    const struct mc_kernel *kernel = atomic_load_explicit(&current, memory_order_relaxed);
    if (kernel != NULL)
        return kernel;
    size_t rank = 0;
    while (!usable(kernels[rank])) /* the portable one, last, always is */
        rank++;
    atomic_store_explicit(&current, kernels[rank], memory_order_relaxed);
    return kernels[rank];
}

const char *mc_kernel_name(size_t rank) { return rank < COUNT ? kernels[rank]->name : NULL; }

int mc_kernel_usable(size_t rank) { return rank < COUNT && usable(kernels[rank]); }

size_t mc_kernel(void) {
    const struct mc_kernel *kernel = mc_current_kernel();
    size_t rank = 0;
    while (kernels[rank] != kernel)
        rank++;
    return rank;
}

int mc_force_kernel(size_t rank) {
    if (!mc_kernel_usable(rank))
        return 1;
    atomic_store_explicit(&current, kernels[rank], memory_order_relaxed);
    return 0;
}

void mc_free_kernel(void) { atomic_store_explicit(&current, NULL, memory_order_relaxed); }
