#include <stddef.h>
#include <stdint.h>

#include "api.h"
