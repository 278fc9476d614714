/* A small pool of threads, and the barrier its members meet at.

   A task runs in a team: the calling thread is member 0, the others come from a pool that is
   started when it is first needed and sleeps between calls. Only one team runs at a time; a call
   that finds the pool taken runs alone, so that threads of Python that train a network each never
   wait for one another. After a fork the child starts without a pool and makes its own.

   Every member flushes denormals to zero while it works and has its control register restored:
   vanishing gradients make denormals, and each costs a hundred cycles. */
#ifndef CRNN_THREADS_H
#define CRNN_THREADS_H

#include <stddef.h>

#if defined(_MSC_VER)
#include <intrin.h>
#include <windows.h>
typedef volatile long crnn_atomic;
#define atomic_get(p) _InterlockedOr((p), 0)
#define atomic_set(p, value) _InterlockedExchange((p), (value))
#define atomic_add(p, value) (_InterlockedExchangeAdd((p), (value)) + (value))
#define atomic_swap(p, value) _InterlockedExchange((p), (value))
#define yield_processor() SwitchToThread()
#else
#include <pthread.h>
#include <sched.h>
#include <signal.h>
typedef volatile int crnn_atomic;
#define atomic_get(p) __atomic_load_n((p), __ATOMIC_ACQUIRE)
#define atomic_set(p, value) __atomic_store_n((p), (value), __ATOMIC_RELEASE)
#define atomic_add(p, value) __atomic_add_fetch((p), (value), __ATOMIC_ACQ_REL)
#define atomic_swap(p, value) __atomic_exchange_n((p), (value), __ATOMIC_ACQ_REL)
#define yield_processor() sched_yield()
#endif

#if defined(__x86_64__) || defined(_M_X64)
#include <immintrin.h>
#define pause_processor() _mm_pause()
#elif defined(__aarch64__) && defined(__GNUC__)
#define pause_processor() __asm__ __volatile__("yield")
#else
#define pause_processor() ((void)0)
#endif

enum {
    /* Spins before a waiting thread offers its core to others: some 20 microseconds. */
    SPINS = 1 << 10,
    MOST_THREADS = 64
};

typedef struct {
    crnn_atomic arrived;
    crnn_atomic phase;
} Barrier;

/* A member's place in its team. */
typedef struct {
    int index;
    int count;
    Barrier *barrier;
} Team;

/* What a team runs on a call. The pointer `dtype` is NULL: its type tells the specialization. */
typedef void (*Task)(void *call, Team team, const void *dtype);

static inline void spin(int *spins) {
    if (++*spins < SPINS)
        pause_processor();
    else
        yield_processor();
}

/* Wait until every member of the team is here. */
static inline void team_wait(Team team) {
    int phase, spins = 0;
    if (team.count == 1)
        return;
    phase = atomic_get(&team.barrier->phase);
    if (atomic_add(&team.barrier->arrived, 1) == team.count) {
        atomic_set(&team.barrier->arrived, 0);
        atomic_set(&team.barrier->phase, phase + 1);
        return;
    }
    while (atomic_get(&team.barrier->phase) == phase)
        spin(&spins);
}

#if defined(__x86_64__) || defined(_M_X64)
/* Flush-to-zero and denormals-are-zero, bits 15 and 6 of MXCSR. */
static inline unsigned int flush_denormals(void) {
    unsigned int before = _mm_getcsr();
    _mm_setcsr(before | 0x8040);
    return before;
}
static inline void restore_denormals(unsigned int before) { _mm_setcsr(before); }
#elif defined(__aarch64__) && defined(__GNUC__)
/* FZ, bit 24 of FPCR. */
static inline unsigned long flush_denormals(void) {
    unsigned long before;
    __asm__ __volatile__("mrs %0, fpcr" : "=r"(before));
    __asm__ __volatile__("msr fpcr, %0" : : "r"(before | 1ul << 24));
    return before;
}
static inline void restore_denormals(unsigned long before) {
    __asm__ __volatile__("msr fpcr, %0" : : "r"(before));
}
#else
static inline int flush_denormals(void) { return 0; }
static inline void restore_denormals(int before) { (void)before; }
#endif

static inline void run_member(Task task, void *call, Team team) {
    /* No type of its own: the register's width differs by architecture. */
#if defined(__aarch64__)
    unsigned long before = flush_denormals();
#else
    unsigned int before = (unsigned int)flush_denormals();
#endif
    task(call, team, NULL);
    restore_denormals(before);
}

#endif
