/* Preloaded, it counts calls that reach the file system while it is armed, and at the one of a
   number does what it was told: fail it, write only a half, or kill the process before or after. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <unistd.h>

enum { NOTHING, FAIL, FAIL_FROM_HERE, SHORT, KILL_BEFORE, KILL_AFTER, KILL_HALFWAY };

static int armed, counted, number, action, code;
static char calls[1 << 16]; /* their names */
static char failed[32];     /* the name of the one of the number */

void faults_arm(int at, int what, int error) {
    number = at, action = what, code = error;
    counted = 0;
    calls[0] = failed[0] = 0;
    armed = 1;
}

int faults_disarm(void) {
    armed = 0;
    return counted;
}

const char *faults_calls(void) { return calls; }
const char *faults_failed(void) { return failed; }

static void kill_now(void) { kill(getpid(), SIGKILL); }

/* What is to be done with this call; FAIL after errno has been set. */
static int here(const char *name) {
    int is_it;
    if (!armed)
        return NOTHING;
    ++counted;
    if (strlen(calls) + 32 < sizeof(calls)) {
        strcat(calls, name);
        strcat(calls, " ");
    }
    is_it = counted == number;
    if (is_it)
        snprintf(failed, sizeof(failed), "%s", name);
    if ((is_it && action == FAIL) || (counted >= number && action == FAIL_FROM_HERE)) {
        errno = code;
        return FAIL;
    }
    if (is_it && action == KILL_BEFORE)
        kill_now();
    return is_it ? action : NOTHING;
}

static void *original(const char *name) { return dlsym(RTLD_NEXT, name); }

#define WRAP(type, name, parameters, arguments)                                                    \
    type name parameters {                                                                         \
        static type(*next) parameters;                                                             \
        type result;                                                                               \
        int what = here(#name);                                                                    \
        if (!next)                                                                                 \
            *(void **)&next = original(#name);                                                     \
        if (what == FAIL)                                                                          \
            return (type)-1;                                                                       \
        result = next arguments;                                                                   \
        if (what == KILL_AFTER)                                                                    \
            kill_now();                                                                            \
        return result;                                                                             \
    }

#define WRAP_WRITE(name, parameters, arguments)                                                    \
    ssize_t name parameters {                                                                      \
        static ssize_t(*next) parameters;                                                          \
        ssize_t result;                                                                            \
        int what = here(#name);                                                                    \
        if (!next)                                                                                 \
            *(void **)&next = original(#name);                                                     \
        if (what == FAIL)                                                                          \
            return -1;                                                                             \
        if ((what == SHORT || what == KILL_HALFWAY) && size > 1)                                   \
            size /= 2;                                                                             \
        result = next arguments;                                                                   \
        if (what == KILL_AFTER || what == KILL_HALFWAY)                                            \
            kill_now();                                                                            \
        return result;                                                                             \
    }

#define WRAP_OPEN(name, first_parameter, first_argument)                                           \
    int name(first_parameter const char *path, int flags, ...) {                                   \
        static int (*next)(first_parameter const char *, int, ...);                                \
        int result, mode = 0, what = here(#name);                                                  \
        if (!next)                                                                                 \
            *(void **)&next = original(#name);                                                     \
        if (flags & O_CREAT) {                                                                     \
            va_list more;                                                                          \
            va_start(more, flags);                                                                 \
            mode = va_arg(more, int);                                                              \
            va_end(more);                                                                          \
        }                                                                                          \
        if (what == FAIL)                                                                          \
            return -1;                                                                             \
        result = next(first_argument path, flags, mode);                                           \
        if (what == KILL_AFTER)                                                                    \
            kill_now();                                                                            \
        return result;                                                                             \
    }

#define NOTHING_BEFORE
#define COMMA ,
WRAP_OPEN(open, NOTHING_BEFORE, NOTHING_BEFORE)
WRAP_OPEN(open64, NOTHING_BEFORE, NOTHING_BEFORE)
WRAP_OPEN(openat, int folder COMMA, folder COMMA)
WRAP_OPEN(openat64, int folder COMMA, folder COMMA)
WRAP_WRITE(write, (int file, const void *data, size_t size), (file, data, size))
WRAP_WRITE(pwrite64, (int file, const void *data, size_t size, off_t at),
           (file, data, size, at))
WRAP(ssize_t, read, (int file, void *data, size_t size), (file, data, size))
WRAP(ssize_t, pread64, (int file, void *data, size_t size, off_t at), (file, data, size, at))

/* Where it fails, Linux has closed the file all the same. */
int close(int file) {
    static int (*next)(int);
    int what = here("close"), error = errno, result;
    if (!next)
        *(void **)&next = original("close");
    result = next(file);
    if (what == KILL_AFTER)
        kill_now();
    if (what != FAIL)
        return result;
    errno = error;
    return -1;
}

WRAP(int, fsync, (int file), (file))
WRAP(int, fdatasync, (int file), (file))
WRAP(int, flock, (int file, int operation), (file, operation))
WRAP(int, rename, (const char *from, const char *to), (from, to))
WRAP(int, renameat, (int a, const char *from, int b, const char *to), (a, from, b, to))
WRAP(int, unlink, (const char *path), (path))
WRAP(int, unlinkat, (int folder, const char *path, int flags), (folder, path, flags))
WRAP(int, link, (const char *from, const char *to), (from, to))
WRAP(int, linkat, (int a, const char *from, int b, const char *to, int flags),
     (a, from, b, to, flags))
WRAP(int, symlink, (const char *to, const char *path), (to, path))
WRAP(int, chmod, (const char *path, mode_t mode), (path, mode))
WRAP(int, fchmod, (int file, mode_t mode), (file, mode))
WRAP(int, fchmodat, (int folder, const char *path, mode_t mode, int flags),
     (folder, path, mode, flags))
WRAP(int, chown, (const char *path, uid_t user, gid_t group), (path, user, group))
WRAP(int, fchown, (int file, uid_t user, gid_t group), (file, user, group))
WRAP(int, utimensat, (int folder, const char *path, const struct timespec times[2], int flags),
     (folder, path, times, flags))
WRAP(int, mkdir, (const char *path, mode_t mode), (path, mode))
WRAP(int, ftruncate64, (int file, off_t size), (file, size))
WRAP(off_t, lseek64, (int file, off_t at, int whence), (file, at, whence))
WRAP(int, stat64, (const char *path, struct stat64 *status), (path, status))
WRAP(int, lstat64, (const char *path, struct stat64 *status), (path, status))
WRAP(int, fstat64, (int file, struct stat64 *status), (file, status))
WRAP(int, fstatat64, (int folder, const char *path, struct stat64 *status, int flags),
     (folder, path, status, flags))
WRAP(int, dup, (int file), (file))
WRAP(int, fsetxattr, (int file, const char *name, const void *value, size_t size, int flags),
     (file, name, value, size, flags))
