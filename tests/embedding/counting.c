/* Preloaded, it counts a thread's calls to allocate and to lock, each of which it passes on. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <pthread.h>
#include <semaphore.h>
#include <stddef.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

/* glibc's own names of what is counted here */
extern void *__libc_malloc(size_t size);
extern void *__libc_calloc(size_t count, size_t size);
extern void *__libc_realloc(void *memory, size_t size);
extern void *__libc_memalign(size_t alignment, size_t size);
extern void __libc_free(void *memory);

static __thread unsigned long calls __attribute__((tls_model("initial-exec")));

unsigned long calls_counted(void) { return calls; }

void *malloc(size_t size) {
    ++calls;
    return __libc_malloc(size);
}

void *calloc(size_t count, size_t size) {
    ++calls;
    return __libc_calloc(count, size);
}

void *realloc(void *memory, size_t size) {
    ++calls;
    return __libc_realloc(memory, size);
}

void *aligned_alloc(size_t alignment, size_t size) {
    ++calls;
    return __libc_memalign(alignment, size);
}

void *memalign(size_t alignment, size_t size) {
    ++calls;
    return __libc_memalign(alignment, size);
}

int posix_memalign(void **memory, size_t alignment, size_t size) {
    ++calls;
    *memory = __libc_memalign(alignment, size);
    return *memory ? 0 : 12; /* ENOMEM */
}

void free(void *memory) {
    ++calls;
    __libc_free(memory);
}

void *mmap(void *address, size_t size, int protection, int flags, int file, off_t offset) {
    ++calls;
    return (void *)syscall(SYS_mmap, address, size, protection, flags, file, offset);
}

int munmap(void *address, size_t size) {
    ++calls;
    return (int)syscall(SYS_munmap, address, size);
}

/* The function of this name that would have been called. Of a condition variable's functions there
   are two versions, of which dlsym may return the old one. */
static void *next(const char *name) {
    void *function = dlvsym(RTLD_NEXT, name, "GLIBC_2.3.2");
    return function ? function : dlsym(RTLD_NEXT, name);
}

#define COUNTED(name, parameters, arguments)                                                       \
    int name parameters {                                                                          \
        static int(*passed_on) parameters;                                                         \
        ++calls;                                                                                   \
        if (!passed_on)                                                                            \
            *(void **)&passed_on = next(#name);                                                    \
        return passed_on arguments;                                                                \
    }

COUNTED(pthread_mutex_lock, (pthread_mutex_t * lock), (lock))
COUNTED(pthread_mutex_trylock, (pthread_mutex_t * lock), (lock))
COUNTED(pthread_mutex_unlock, (pthread_mutex_t * lock), (lock))
COUNTED(pthread_rwlock_rdlock, (pthread_rwlock_t * lock), (lock))
COUNTED(pthread_rwlock_wrlock, (pthread_rwlock_t * lock), (lock))
COUNTED(pthread_rwlock_unlock, (pthread_rwlock_t * lock), (lock))
COUNTED(pthread_cond_wait, (pthread_cond_t * wake, pthread_mutex_t *lock), (wake, lock))
COUNTED(pthread_cond_timedwait,
        (pthread_cond_t * wake, pthread_mutex_t *lock, const struct timespec *end),
        (wake, lock, end))
COUNTED(pthread_cond_signal, (pthread_cond_t * wake), (wake))
COUNTED(pthread_cond_broadcast, (pthread_cond_t * wake), (wake))
COUNTED(sem_wait, (sem_t * semaphore), (semaphore))
COUNTED(sem_trywait, (sem_t * semaphore), (semaphore))
COUNTED(sem_post, (sem_t * semaphore), (semaphore))
