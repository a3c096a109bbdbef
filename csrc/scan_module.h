/* The prelude of the generated module around the scan.
 *
 * cffi gives up the interpreter lock around every call. That suits work of a millisecond; but a scan takes a fraction of
 * a microsecond, and a thread that lets go of the lock for so little loses it to any busy thread for a whole switch
 * interval of 5 ms, on average 80 microseconds a call. So this module keeps the lock. */

#include "scan_prelude.h"

#undef Py_BEGIN_ALLOW_THREADS
#define Py_BEGIN_ALLOW_THREADS {
#undef Py_END_ALLOW_THREADS
#define Py_END_ALLOW_THREADS }
