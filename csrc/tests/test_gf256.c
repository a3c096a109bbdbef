/* Interpolation gives the points back that it runs through, for rows of any length. */

#include "prelude.h"
#include "check.h"

#include <string.h>

enum { K = 5, MOST = 40 };

int main(void) {
    static const uint8_t xs[K] = {0, 1, 7, 200, 255}, others[K] = {2, 3, 4, 5, 254}, twice[2] = {9, 9};
    uint8_t ys[K * MOST], moved[K * MOST], back[K * MOST];
    for (size_t i = 0; i < sizeof ys; i++)
        ys[i] = (uint8_t)(i * 89 + 5);
    for (size_t size = 0; size <= MOST; size++) {
        CHECK(mc_gf256_interpolate(xs, K, ys, size, xs, K, back) == 0);
        CHECK(memcmp(back, ys, K * size) == 0);
        CHECK(mc_gf256_interpolate(xs, K, ys, size, others, K, moved) == 0);
        CHECK(mc_gf256_interpolate(others, K, moved, size, xs, K, back) == 0);
        CHECK(memcmp(back, ys, K * size) == 0);
    }
    memcpy(back, ys, sizeof ys);
    CHECK(mc_gf256_interpolate(twice, 2, moved, MOST, xs, K, back) == 1);
    CHECK(memcmp(back, ys, sizeof ys) == 0);
    return 0;
}
