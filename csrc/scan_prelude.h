#include <stddef.h>
#include <stdint.h>

#include "scan_api.h"
