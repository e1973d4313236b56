/* A disk that fails or hangs, for a process that is started with this in LD_PRELOAD: calls that concern files under $DISK_FOLDER do
 * what the file $DISK_FAULT says: "enospc", "eio", "eio-sync" (only syncs fail), "hang" (syncs do not return until it is gone); nothing
 * when it is not there. gcc -shared -fPIC -o faulty_disk.so faulty_disk.c -ldl */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

/* What the file says, or an empty text. Raw system calls, so that none of ours is asked. */
static void fault(int fd, char *text, size_t size) {
    const char *control = getenv("DISK_FAULT"), *folder = getenv("DISK_FOLDER");
    char link[64], path[4096];
    text[0] = 0;
    if (!control || !folder) return;
    int file = syscall(SYS_openat, AT_FDCWD, control, O_RDONLY | O_CLOEXEC);
    if (file < 0) return;
    ssize_t count = syscall(SYS_read, file, text, size - 1);
    syscall(SYS_close, file);
    text[count > 0 ? count : 0] = 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, sizeof path - 1);
    path[length > 0 ? length : 0] = 0;
    if (strncmp(path, folder, strlen(folder)) != 0) text[0] = 0;
}

static int refused(int fd, int syncing) {
    char text[32];
    int saved = errno;
    fault(fd, text, sizeof text);
    while (syncing && strncmp(text, "hang", 4) == 0) {
        usleep(20000);
        fault(fd, text, sizeof text);
    }
    errno = saved;
    if (strncmp(text, "enospc", 6) == 0) return errno = ENOSPC, 1;
    if (strncmp(text, "eio-sync", 8) == 0) return syncing ? (errno = EIO, 1) : 0;
    if (strncmp(text, "eio", 3) == 0) return errno = EIO, 1;
    return 0;
}

#define NEXT(name) (__typeof__(&name)) dlsym(RTLD_NEXT, #name)

ssize_t write(int fd, const void *bytes, size_t count) {
    if (refused(fd, 0)) return -1;
    return (NEXT(write))(fd, bytes, count);
}
ssize_t writev(int fd, const struct iovec *parts, int count) {
    if (refused(fd, 0)) return -1;
    return (NEXT(writev))(fd, parts, count);
}
ssize_t pwrite64(int fd, const void *bytes, size_t count, off64_t at) {
    /* In place, as on a full disk. */
    char text[32];
    fault(fd, text, sizeof text);
    if (strcmp(text, "eio") == 0) return errno = EIO, -1;
    return (NEXT(pwrite64))(fd, bytes, count, at);
}
int fsync(int fd) {
    if (refused(fd, 1)) return -1;
    return (NEXT(fsync))(fd);
}
int fdatasync(int fd) {
    if (refused(fd, 1)) return -1;
    return (NEXT(fdatasync))(fd);
}
