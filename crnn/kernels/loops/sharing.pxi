# What each member of a team computes.
#
# Members share the sequences of a batch, and each runs all steps of its own. Few sequences of many
# units are shared by units: a member computes its units of a step, then waits for the others. No
# sum is ever shared, so the bits do not depend on the number of members.
#
# A member that has finished takes half of the sequences of one that has not, from its next step on
# (threads.h).

cdef enum:
    # Members get sequences in pairs, which fill tiles of 4 and of 6 rows.
    DEAL_UNIT = 2
    # A member gives sequences away while at least 1 / GIVEN_PART of all steps is still to do.
    GIVEN_PART = 16
    # The sums of a group of so many panels of units are completed before they become states.
    GROUP_PANELS = 4
    # What does not recur is computed for at least so many steps between two looks at the clock, to
    # fill tiles of rows.
    STEPS_OF_A_LOOK = 24
    # An exponential of the standard library takes as long as so many multiply-adds.
    EXPONENTIAL = 64


cdef struct Share:
    Py_ssize_t first
    Py_ssize_t last


cdef inline Py_ssize_t blocks(Py_ssize_t n, Py_ssize_t size) noexcept nogil:
    """How many blocks of `size` cover n."""
    return (n + size - 1) // size


cdef inline Share share(Team team, Py_ssize_t n, Py_ssize_t unit) noexcept nogil:
    """Which of n things, dealt in whole units, a member of the team works on."""
    cdef Share mine
    mine.first, mine.last = 0, n
    if team.count > 1:
        mine.first = min(n, blocks(n, unit) * team.index // team.count * unit)
        mine.last = min(n, blocks(n, unit) * (team.index + 1) // team.count * unit)
    return mine


cdef struct Part:
    # A member's part of every step
    Team team
    Share rows      # sequences
    Share units     # hidden units: whole panels
    bint by_units   # the other units of these sequences are other members'
    Py_ssize_t step     # the next one; backward, the last one that is done
    Py_ssize_t steps    # all steps of the task
    Py_ssize_t end      # backward: the step at which the task ends


cdef inline Py_ssize_t group_columns(const vec* dtype) noexcept nogil:
    return GROUP_PANELS * NV * lanes(dtype)


cdef inline bint is_alone(Sizes s) noexcept nogil:
    """One sequence that one member computes: its weights are packed for the least latency."""
    return s.B == 1 and not splits_units(s)


cdef inline Py_ssize_t first_by_steps(const Call* c, Py_ssize_t index,
                                      Py_ssize_t count) noexcept nogil:
    """The first sequence of member `index`, where members get about as many steps each."""
    cdef Py_ssize_t B = c.sizes.B, total = 0, steps = 0, b
    if index == count:
        return B
    for b in range(B):
        total += c.lengths[b]
    b = 0
    while b < B and steps * count < total * index:
        steps += c.lengths[b] + (c.lengths[b + 1] if b + 1 < B else 0)
        b += DEAL_UNIT
    return min(b, B)


cdef inline Part part_of(const vec* dtype, const Call* c, Team team) noexcept nogil:
    cdef Part part
    part.step = part.end = 0
    part.steps = c.sizes.T
    part.team, part.by_units = team, team.count > 1 and splits_units(c.sizes)
    part.rows.first, part.rows.last = 0, c.sizes.B
    part.units.first, part.units.last = 0, c.sizes.H
    if part.by_units:
        part.units = share(team, c.sizes.H, NV * lanes(dtype))
    elif c.lengths == NULL:
        part.rows = share(team, c.sizes.B, DEAL_UNIT)
    else:
        part.rows.first = first_by_steps(c, team.index, team.count)
        part.rows.last = first_by_steps(c, team.index + 1, team.count)
    return part


cdef inline void give(Part* part, Py_ssize_t step, Py_ssize_t left) noexcept nogil:
    """Give half of the sequences, from `step` on, to a member that asks, if enough is left."""
    cdef Py_ssize_t first = part.rows.first, rows = part.rows.last - first
    cdef Py_ssize_t kept = blocks(rows, 2 * DEAL_UNIT) * DEAL_UNIT
    if not is_asked(part.team):
        return
    if kept >= rows or left < 2 or left * GIVEN_PART < part.steps:
        give_nothing(part.team)
        return
    give_rows(part.team, first + kept, part.rows.last, step)
    part.rows.last = first + kept


cdef inline bint take(Part* part) noexcept nogil:
    """Wait for sequences of another member, from `part.step` on, or until none has any left."""
    cdef const Mailbox* mailbox
    if part.by_units or part.team.count == 1 or not ask_for_rows(part.team):
        return False
    mailbox = &part.team.mailboxes[part.team.index]
    part.rows.first, part.rows.last, part.step = mailbox.first, mailbox.last, mailbox.step
    return True


# The member's units by groups of GR: their number, the first unit of group k, and its units
cdef inline Py_ssize_t groups_of(const Part* part, Py_ssize_t GR) noexcept nogil:
    return blocks(part.units.last - part.units.first, GR)


cdef inline Py_ssize_t group_first(const Part* part, Py_ssize_t GR, Py_ssize_t k) noexcept nogil:
    return part.units.first + k * GR


cdef inline Py_ssize_t group_width(const Part* part, Py_ssize_t GR, Py_ssize_t k) noexcept nogil:
    return min(GR, part.units.last - group_first(part, GR, k))


cdef inline void wait_for_units(const Part* part) noexcept nogil:
    """Wait until the other members have computed their units."""
    if part.by_units:
        team_wait(part.team)


cdef inline Share sequences_of(const Part* part, Py_ssize_t B) noexcept nogil:
    """The member's sequences where each is one member's."""
    return share(part.team, B, DEAL_UNIT) if part.by_units else part.rows


cdef inline Share steps_share(const Part* part, Py_ssize_t T) noexcept nogil:
    """The member's share of what does not recur, over T steps of its sequences."""
    cdef Share steps
    steps.first, steps.last = 0, T
    return share(part.team, T, 1) if part.by_units else steps


cdef inline Py_ssize_t steps_of(const Call* c, Py_ssize_t b, Py_ssize_t T) noexcept nogil:
    """How many of the T steps sequence b has."""
    return T if c.lengths == NULL else min(T, max(0, c.lengths[b] - c.passed))


cdef inline Share live_at(const Call* c, Share rows, Py_ssize_t t) noexcept nogil:
    """Those of the sequences that have a step t. Longer sequences come first."""
    if c.lengths != NULL:
        while rows.last > rows.first and c.lengths[rows.last - 1] - c.passed <= t:
            rows.last -= 1
    return rows


# A call that may be interrupted (threads.h) counts multiply-adds, to look at the clock at times.

cdef inline double work_of_step(Sizes s, Py_ssize_t rows) noexcept nogil:
    """Multiply-adds of a step of so many sequences. 64 more are for what else a small step does."""
    return <double> rows * s.H * (s.cell.weight_blocks * (s.I + s.H) + s.O) + 64


cdef inline bint is_over(const Part* part, double work) noexcept nogil:
    """Whether the call ends early, asked in the loop over steps.

    `work`: the member's multiply-adds since it asked last.
    """
    if part.team.interrupt == NULL:
        return False
    did_work(part.team, work)
    return was_stopped(part.team) if part.by_units else is_stopped(part.team)


cdef inline Share next_steps(Team team, Share* steps, double work) noexcept nogil:
    """Take the first of these steps off: all, or as many as come before a look at the clock.

    Each step is so much work. Where the call ends early, it takes none, and none is left. This is
    for what does not recur: members do not wait for one another between these steps.
    """
    cdef Share next = steps[0]
    if team.interrupt != NULL and steps.first < steps.last:
        next.last = min(steps.last,
                        steps.first + max(STEPS_OF_A_LOOK, <Py_ssize_t> (WORK_PER_LOOK / work)))
        did_work(team, (next.last - next.first) * work)
        if is_stopped(team):
            steps.first = next.last = next.first = steps.last
    steps.first = next.last
    return next
