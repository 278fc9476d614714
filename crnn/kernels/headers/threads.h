/* A small pool of threads, and the barrier its members meet at.

   A task runs in a team: the calling thread is member 0, the others come from a pool that is
   started when it is first needed and sleeps between calls. Only one team runs at a time; a call
   that finds the pool taken runs alone, so that threads of Python that train a network each never
   wait for one another. After a fork the child starts without a pool and makes its own.

   A member that has finished its part of the work takes some of another's: it asks the other, and
   is answered between two steps. So the team does not wait for a whole part where another process
   holds a member's core, for some milliseconds each time.

   A long call has an Interrupt. The calling thread asks from time to time whether somebody wants
   the call to end, such as a user by Ctrl-C. Members then leave their loops, and what the call was
   to write is unspecified. Between two barriers of a loop all members have to agree: there they go
   by what was known when the last barrier fell.

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
#define atomic_replace(p, old, value) (_InterlockedCompareExchange((p), (value), (old)) == (old))
#define yield_processor() SwitchToThread()
#else
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <time.h>
typedef volatile int crnn_atomic;
#define atomic_get(p) __atomic_load_n((p), __ATOMIC_ACQUIRE)
#define atomic_set(p, value) __atomic_store_n((p), (value), __ATOMIC_RELEASE)
#define atomic_add(p, value) __atomic_add_fetch((p), (value), __ATOMIC_ACQ_REL)
#define atomic_swap(p, value) __atomic_exchange_n((p), (value), __ATOMIC_ACQ_REL)
#define yield_processor() sched_yield()
/* Whether *p was old, and is now value. */
static inline int atomic_replace(crnn_atomic *p, int old, int value) {
    return __atomic_compare_exchange_n(p, &old, value, 0, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE);
}
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
    /* After so many, the last 512 of which offer the core, another member's core is taken to be
       held by another process. */
    LATE_SPINS = SPINS + (1 << 9),
    MOST_THREADS = 64,
    /* Multiply-adds after which the calling thread reads the clock: some 10 microseconds to a
       millisecond. */
    WORK_PER_LOOK = 1 << 20
};

/* Mailbox.asker: the index of the member that asks, plus 1, or one of these. */
enum { NOBODY_ASKS = 0, CLOSED = -1 };
/* The answer that a member waits for. */
enum { NO_ANSWER, NOTHING_TO_GIVE, GIVEN };

/* Where a member gives and gets work; each has cache lines of its own. */
typedef struct {
    crnn_atomic asker;
    crnn_atomic answer;
    ptrdiff_t first, last, step; /* what it was given: rows, and their next step */
    crnn_atomic claimed;         /* pieces of its shares that are taken, over all jobs */
    int jobs;                    /* pieces of the jobs before the present one */
    char padding[128 - 4 * sizeof(int) - 3 * sizeof(ptrdiff_t)];
} Mailbox;

typedef struct {
    crnn_atomic arrived;
    crnn_atomic phase;
    int is_stopped; /* what all members go by until they meet here again */
} Barrier;

#if defined(__x86_64__) || defined(_M_X64)
typedef unsigned int FloatControl; /* the register's width differs by architecture */
/* Flush-to-zero and denormals-are-zero, bits 15 and 6 of MXCSR. */
static inline FloatControl flush_denormals(void) {
    FloatControl before = _mm_getcsr();
    _mm_setcsr(before | 0x8040);
    return before;
}
static inline void restore_denormals(FloatControl before) { _mm_setcsr(before); }
#elif defined(__aarch64__) && defined(__GNUC__)
typedef unsigned long FloatControl;
/* FZ, bit 24 of FPCR. */
static inline FloatControl flush_denormals(void) {
    FloatControl before;
    __asm__ __volatile__("mrs %0, fpcr" : "=r"(before));
    __asm__ __volatile__("msr fpcr, %0" : : "r"(before | 1ul << 24));
    return before;
}
static inline void restore_denormals(FloatControl before) {
    __asm__ __volatile__("msr fpcr, %0" : : "r"(before));
}
#else
typedef int FloatControl;
static inline FloatControl flush_denormals(void) { return 0; }
static inline void restore_denormals(FloatControl before) { (void)before; }
#endif

/* Seconds between two questions to `Interrupt.ask`, each of which waits for the GIL. */
#define ASK_SECONDS 0.05

/* What may end a call early. The calling thread alone uses what is not atomic. */
typedef struct {
    crnn_atomic is_stopped;
    int (*ask)(void);     /* whether the call is to end */
    double work;          /* multiply-adds since the last look at the clock */
    double due;           /* when to ask next, in seconds */
    FloatControl control; /* the caller's register, for code of Python that `ask` runs */
} Interrupt;

/* A member's place in its team. */
typedef struct {
    int index;
    int count;
    Barrier *barrier;
    Mailbox *mailboxes; /* of all members; not used where there is one member */
    int is_held;        /* whether members had to wait long for one another lately */
    crnn_atomic *late;  /* set when one does */
    Interrupt *interrupt; /* or NULL: the call runs to its end */
    int is_caller;        /* whether this member is the calling thread */
} Team;

/* What a team runs on a call. The pointer `dtype` is NULL: its type tells the specialization. */
typedef void (*Task)(void *call, Team team, const void *dtype);

static inline void spin(int *spins) {
    if (++*spins < SPINS)
        pause_processor();
    else
        yield_processor();
}

#if defined(_MSC_VER)
static inline double seconds_now(void) { return 1e-3 * (double)GetTickCount64(); }
#else
static inline double seconds_now(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}
#endif

static inline void start_interrupt(Interrupt *interrupt, int (*ask)(void)) {
    interrupt->is_stopped = 0;
    interrupt->ask = ask;
    interrupt->work = 0;
    interrupt->due = seconds_now() + ASK_SECONDS;
}

/* Out of line: it is called rarely, and in many places. */
#if defined(_MSC_VER)
__declspec(noinline)
#else
__attribute__((noinline))
#endif
static void ask_if_due(Interrupt *interrupt) {
    interrupt->work = 0;
    if (seconds_now() < interrupt->due)
        return;
    restore_denormals(interrupt->control);
    if (!atomic_get(&interrupt->is_stopped) && interrupt->ask())
        atomic_set(&interrupt->is_stopped, 1);
    flush_denormals();
    interrupt->due = seconds_now() + ASK_SECONDS;
}

/* A member has done so many multiply-adds. Where it is the caller, it asks when that is due. */
static inline void did_work(Team team, double work) {
    Interrupt *interrupt = team.interrupt;
    if (interrupt && team.is_caller && (interrupt->work += work) >= WORK_PER_LOOK)
        ask_if_due(interrupt);
}

/* Whether the call ends early: for loops in which no member waits for another. */
static inline int is_stopped(Team team) {
    return team.interrupt && atomic_get(&team.interrupt->is_stopped);
}

/* The same for loops in which they do: all members get one answer until the next barrier. */
static inline int was_stopped(Team team) {
    return team.count == 1 ? is_stopped(team) : team.barrier->is_stopped;
}

static inline void wait_for_member(Team team, int *spins) {
    spin(spins);
    if (*spins > SPINS)
        did_work(team, 1 << 14); /* offering the core takes about as long */
    if (*spins == LATE_SPINS)
        atomic_set(team.late, 1);
}

/* Wait until every member of the team is here. All mailboxes are open then. */
static inline void team_wait(Team team) {
    int phase, i, spins = 0;
    if (team.count == 1)
        return;
    phase = atomic_get(&team.barrier->phase);
    if (atomic_add(&team.barrier->arrived, 1) == team.count) {
        for (i = 0; i < team.count; ++i)
            atomic_set(&team.mailboxes[i].asker, NOBODY_ASKS);
        team.barrier->is_stopped = is_stopped(team);
        atomic_set(&team.barrier->arrived, 0);
        atomic_set(&team.barrier->phase, phase + 1);
        return;
    }
    while (atomic_get(&team.barrier->phase) == phase)
        wait_for_member(team, &spins);
}

/* Whether another member waits for some of this one's work. */
static inline int is_asked(Team team) {
    return team.count > 1 && atomic_get(&team.mailboxes[team.index].asker) > 0;
}

static inline void answer(Team team, int asker, int answer) {
    if (asker > 0)
        atomic_set(&team.mailboxes[asker - 1].answer, answer);
}

/* Give the one who asks these rows from a step on. */
static inline void give_rows(Team team, ptrdiff_t first, ptrdiff_t last, ptrdiff_t step) {
    int asker = atomic_swap(&team.mailboxes[team.index].asker, NOBODY_ASKS);
    Mailbox *to = &team.mailboxes[asker - 1];
    to->first = first, to->last = last, to->step = step;
    answer(team, asker, GIVEN);
}

static inline void give_nothing(Team team) {
    answer(team, atomic_swap(&team.mailboxes[team.index].asker, NOBODY_ASKS), NOTHING_TO_GIVE);
}

/* Wait until another member gives rows, which are at this one's mailbox then, or until all have
   finished: 0. */
static inline int ask_for_rows(Team team) {
    Mailbox *mine = &team.mailboxes[team.index], *other;
    int i, open = 1, spins = 0;
    answer(team, atomic_swap(&mine->asker, CLOSED), NOTHING_TO_GIVE);
    while (open) {
        open = 0;
        for (i = 0; i < team.count; ++i) {
            other = &team.mailboxes[i];
            if (other == mine || atomic_get(&other->asker) == CLOSED)
                continue;
            open = 1;
            if (!atomic_replace(&other->asker, NOBODY_ASKS, team.index + 1))
                continue;
            while (atomic_get(&mine->answer) == NO_ANSWER)
                wait_for_member(team, &spins);
            if (atomic_swap(&mine->answer, NO_ANSWER) == GIVEN) {
                atomic_set(&mine->asker, NOBODY_ASKS);
                return 1;
            }
        }
        wait_for_member(team, &spins);
    }
    return 0;
}

/* Take one of the `pieces` of a member's share that nobody has: its number, or -1. */
static inline int claim_piece(Team team, int member, int pieces) {
    int jobs = team.mailboxes[team.index].jobs, taken, next;
    do {
        taken = atomic_get(&team.mailboxes[member].claimed);
        next = taken < jobs ? jobs : taken;
        if (next >= jobs + pieces)
            return -1;
    } while (!atomic_replace(&team.mailboxes[member].claimed, taken, next + 1));
    return next - jobs;
}

/* The member goes on to the next job. */
static inline void finish_job(Team team, int pieces) {
    team.mailboxes[team.index].jobs += pieces;
}

static inline void run_member(Task task, void *call, Team team) {
    FloatControl before = flush_denormals();
    if (team.interrupt && team.is_caller)
        team.interrupt->control = before;
    task(call, team, NULL);
    restore_denormals(before);
}

#endif
