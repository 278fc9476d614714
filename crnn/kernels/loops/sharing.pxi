# What each member of a team computes.
#
# Members share the sequences of a batch, and each runs all steps of its own. Few sequences of many
# units are shared by units: a member computes its units of a step, then waits for the others. No
# sum is ever shared, so the bits do not depend on the number of members.

cdef enum:
    # Members get sequences in pairs, which fill tiles of 4 and of 6 rows.
    DEAL_UNIT = 2
    # The sums of a group of so many panels of units are completed before they become states.
    GROUP_PANELS = 4


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
