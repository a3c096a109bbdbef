/* The least that a C unit test needs: a condition that does not hold ends the test and says where. */

#ifndef MEDCHAIN_CHECK_H
#define MEDCHAIN_CHECK_H

#include <stdio.h>
#include <stdlib.h>

#define CHECK(condition)                                                               \
    do {                                                                               \
        if (!(condition)) {                                                            \
            fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #condition);    \
            exit(1);                                                                   \
        }                                                                              \
    } while (0)

#endif
