/* Records what a program does to the files of one folder: what it writes, and what it makes
 * durable. Loaded before libc (LD_PRELOAD); DISK_FOLDER is the folder, DISK_RECORD the record.
 * `support.power` reads it and builds the disk as a power loss may have left it.
 *
 * A record: kind (1 octet), length of the path (4), a number (8), length of the data (4), path,
 * data; numbers in the machine's order. Writes are recorded before they are made, and syncs after
 * they ended, with the place in the record at which they began: what was written in between may
 * not have been part of them.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

static int record = -1;
static char folder[PATH_MAX];
static pthread_mutex_t door = PTHREAD_MUTEX_INITIALIZER;

__attribute__((constructor)) static void begin(void) {
    const char *path = getenv("DISK_RECORD"), *under = getenv("DISK_FOLDER");
    if (!path || !under || !realpath(under, folder)) return;
    record = (int)syscall(SYS_openat, AT_FDCWD, path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
}

static int is_ours(const char *path) {
    size_t length = strlen(folder), whole = strlen(path);
    if (record < 0 || strncmp(path, folder, length) || (path[length] && path[length] != '/')) return 0;
    return whole < 4 || strcmp(path + whole - 4, "-shm"); /* shared memory, made anew at each start */
}

static int path_of(int fd, char *path) {
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = record < 0 ? -1 : readlink(link, path, PATH_MAX - 1);
    if (length < 0) return 0;
    path[length] = 0;
    return is_ours(path);
}

static int path_named(const char *name, char *path) {
    char parent[PATH_MAX], *slash;
    if (record < 0 || strlen(name) >= PATH_MAX) return 0;
    strcpy(parent, name);
    slash = strrchr(parent, '/');
    if (slash) *slash = 0;
    if (!realpath(slash ? parent : ".", path)) return 0;
    strcat(path, "/");
    strcat(path, slash ? slash + 1 : name);
    return is_ours(path);
}

static void note(char kind, const char *path, uint64_t number, const void *data, uint32_t size) {
    char head[17];
    uint32_t length = (uint32_t)strlen(path);
    head[0] = kind;
    memcpy(head + 1, &length, 4);
    memcpy(head + 5, &number, 8);
    memcpy(head + 13, &size, 4);
    struct iovec parts[3] = {{head, 17}, {(void *)path, length}, {(void *)data, size}};
    pthread_mutex_lock(&door);
    syscall(SYS_writev, record, parts, 3);
    pthread_mutex_unlock(&door);
}

static uint64_t place(void) {
    struct stat status;
    return fstat(record, &status) ? 0 : (uint64_t)status.st_size;
}

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

ssize_t write(int fd, const void *data, size_t size) {
    char path[PATH_MAX];
    int kept = errno;
    if (path_of(fd, path)) {
        struct stat status;
        int appends = fcntl(fd, F_GETFL) & O_APPEND;
        off_t at = appends && !fstat(fd, &status) ? status.st_size : lseek(fd, 0, SEEK_CUR);
        note('W', path, (uint64_t)at, data, (uint32_t)size);
    }
    errno = kept;
    return syscall(SYS_write, fd, data, size);
}

#define PWRITE(name)                                                        \
    ssize_t name(int fd, const void *data, size_t size, off_t at) {         \
        char path[PATH_MAX];                                                \
        if (path_of(fd, path)) note('W', path, (uint64_t)at, data, (uint32_t)size); \
        return syscall(SYS_pwrite64, fd, data, size, at);                   \
    }
PWRITE(pwrite)
PWRITE(pwrite64)

#define TRUNCATE(name)                                                      \
    int name(int fd, off_t size) {                                          \
        char path[PATH_MAX];                                                \
        if (path_of(fd, path)) note('T', path, (uint64_t)size, "", 0);      \
        return (int)syscall(SYS_ftruncate, fd, size);                       \
    }
TRUNCATE(ftruncate)
TRUNCATE(ftruncate64)

#define SYNC(name)                                                          \
    int name(int fd) {                                                      \
        char path[PATH_MAX];                                                \
        uint64_t began = record < 0 ? 0 : place();                          \
        int failed = (int)syscall(SYS_##name, fd);                          \
        if (!failed && path_of(fd, path)) note('S', path, began, "", 0);    \
        return failed;                                                      \
    }
SYNC(fsync)
SYNC(fdatasync)

#define OPEN(name)                                                          \
    int name(const char *file, int flags, ...) {                            \
        char path[PATH_MAX];                                                \
        mode_t mode = 0;                                                    \
        if (flags & O_CREAT) {                                              \
            va_list more;                                                   \
            va_start(more, flags);                                          \
            mode = va_arg(more, mode_t);                                    \
            va_end(more);                                                   \
        }                                                                   \
        int ours = (flags & (O_CREAT | O_TRUNC)) && path_named(file, path); \
        int there = ours && !access(file, F_OK);                            \
        int fd = (int)syscall(SYS_openat, AT_FDCWD, file, flags, mode);     \
        if (fd >= 0 && ours && !there) note('C', path, 0, "", 0);           \
        if (fd >= 0 && ours && there && (flags & O_TRUNC)) note('T', path, 0, "", 0); \
        return fd;                                                          \
    }
OPEN(open)
OPEN(open64)

int unlink(const char *file) {
    char path[PATH_MAX];
    int ours = path_named(file, path);
    int failed = (int)syscall(SYS_unlinkat, AT_FDCWD, file, 0);
    if (!failed && ours) note('U', path, 0, "", 0);
    return failed;
}

#define NAME(name, kind)                                                    \
    int name(const char *old, const char *new) {                            \
        char from[PATH_MAX], to[PATH_MAX];                                  \
        int ours = path_named(old, from) && path_named(new, to);            \
        int failed = REAL(name)(old, new);                                  \
        if (!failed && ours) note(kind, from, 0, to, (uint32_t)strlen(to)); \
        return failed;                                                      \
    }
NAME(rename, 'R')
NAME(link, 'L')
