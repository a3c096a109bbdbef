/* A disk that fails: preloaded into a process, it spoils what that process writes to files under one folder.
 *
 * The calls of one group are counted from faulty_disk_arm() on; `times` of them, from number `first` on, go wrong:
 *
 *   fail   nothing is written, and the call fails with `code`
 *   tear   half of what is to be written is; the next call of the group fails with `code`. A sync just fails
 *   delay  the call takes 20 ms
 *
 * Linux only: it asks /proc which file a descriptor is of.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <limits.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

enum group { WRITE = 1, SYNC = 2, LENGTH = 3 };
enum kind { FAIL = 1, TEAR = 2, DELAY = 3 };

static char folder[PATH_MAX];
static size_t folder_length;
static int group, kind, code;
static long first, last;
static atomic_long calls;

void faulty_disk_arm(const char *under, int of, int how, long from, long times, int with) {
    folder_length = strlen(under);
    memcpy(folder, under, folder_length + 1);
    group = of;
    kind = how;
    first = from;
    last = from + times - 1;
    code = with;
    atomic_store(&calls, 0);
}

long faulty_disk_calls(void) {
    return atomic_load(&calls);
}

static int under_folder(const char *path) {
    return folder_length && !strncmp(path, folder, folder_length) && path[folder_length] == '/';
}

static int watched(int fd) {
    char link[32], path[PATH_MAX];
    int before = errno;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, sizeof path - 1);
    errno = before;
    if (length < 0)
        return 0;
    path[length] = 0;
    return under_folder(path);
}

/* What becomes of a call: 0, it is carried out; FAIL; or TEAR. */
static int fate(enum group of) {
    if ((int)of != group)
        return 0;
    long number = atomic_fetch_add(&calls, 1) + 1;
    if (kind == TEAR && of == WRITE) {
        long passed = number - first;
        if (passed < 0 || number > last + 1)
            return 0;
        return passed % 2 ? FAIL : TEAR;
    }
    if (number < first || number > last)
        return 0;
    if (kind == DELAY) {
        usleep(20000);
        return 0;
    }
    return FAIL;
}

static int failure(void) {
    errno = code;
    return -1;
}

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

#define WRITES(fd, whole, half)                                                                                        \
    switch (watched(fd) ? fate(WRITE) : 0) {                                                                           \
    case FAIL:                                                                                                         \
        return failure();                                                                                              \
    case TEAR:                                                                                                         \
        return half;                                                                                                   \
    default:                                                                                                           \
        return whole;                                                                                                  \
    }

ssize_t write(int fd, const void *data, size_t size) {
    WRITES(fd, REAL(write)(fd, data, size), REAL(write)(fd, data, size / 2))
}

ssize_t pwrite(int fd, const void *data, size_t size, off_t at) {
    WRITES(fd, REAL(pwrite)(fd, data, size, at), REAL(pwrite)(fd, data, size / 2, at))
}

ssize_t pwrite64(int fd, const void *data, size_t size, off64_t at) {
    WRITES(fd, REAL(pwrite64)(fd, data, size, at), REAL(pwrite64)(fd, data, size / 2, at))
}

/* Half of several pieces: half of the first. */
ssize_t writev(int fd, const struct iovec *pieces, int count) {
    WRITES(fd, REAL(writev)(fd, pieces, count), REAL(write)(fd, pieces->iov_base, pieces->iov_len / 2))
}

ssize_t pwritev(int fd, const struct iovec *pieces, int count, off_t at) {
    WRITES(fd, REAL(pwritev)(fd, pieces, count, at), REAL(pwrite)(fd, pieces->iov_base, pieces->iov_len / 2, at))
}

ssize_t pwritev64(int fd, const struct iovec *pieces, int count, off64_t at) {
    WRITES(fd, REAL(pwritev64)(fd, pieces, count, at), REAL(pwrite64)(fd, pieces->iov_base, pieces->iov_len / 2, at))
}

int fsync(int fd) {
    return watched(fd) && fate(SYNC) ? failure() : REAL(fsync)(fd);
}

int fdatasync(int fd) {
    return watched(fd) && fate(SYNC) ? failure() : REAL(fdatasync)(fd);
}

int ftruncate(int fd, off_t length) {
    return watched(fd) && fate(LENGTH) ? failure() : REAL(ftruncate)(fd, length);
}

int ftruncate64(int fd, off64_t length) {
    return watched(fd) && fate(LENGTH) ? failure() : REAL(ftruncate64)(fd, length);
}

int truncate(const char *path, off_t length) {
    return under_folder(path) && fate(LENGTH) ? failure() : REAL(truncate)(path, length);
}

int truncate64(const char *path, off64_t length) {
    return under_folder(path) && fate(LENGTH) ? failure() : REAL(truncate64)(path, length);
}
