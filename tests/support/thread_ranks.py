"""Ranks that are threads of this process, with what `fit` uses of a communicator of mpi4py."""

import threading


class ThreadRank:
    """One rank: the buffers of all lie on a table between two barriers."""

    def __init__(self, rank, size, table, barrier):
        self._rank, self._size, self._table, self._barrier = rank, size, table, barrier

    def Get_rank(self):  # noqa: N802
        return self._rank

    def Get_size(self):  # noqa: N802
        return self._size

    def _exchange(self, name, sent, receive):
        self._table[self._rank] = name, sent
        self._barrier.wait(20)
        assert [name for name, _ in self._table] == [name] * self._size
        receive([sent for _, sent in self._table])
        self._barrier.wait(20)

    def Allgather(self, send, received):  # noqa: N802
        def receive(sent):
            received[...] = sent

        self._exchange("Allgather", send, receive)

    def Allgatherv(self, send, received):  # noqa: N802
        array, (counts, places) = received

        def receive(sent):
            for (part, count), expected, place in zip(sent, counts, places, strict=True):
                assert count == expected == part.size
                array[place : place + count] = part

        self._exchange("Allgatherv", send, receive)

    def Alltoallv(self, send, received):  # noqa: N802
        array, (counts, places) = received
        flat = array.reshape(-1)

        def receive(sent):
            for rank, (vector, (their_counts, their_places)) in enumerate(sent):
                place, count = their_places[self._rank], their_counts[self._rank]
                assert count == counts[rank]
                flat[places[rank] : places[rank] + count] = vector[place : place + count]

        self._exchange("Alltoallv", send, receive)


def run(size, job):
    """Call ``job(comm)`` on so many ranks; return what each returns or raises."""
    table, barrier, results = [None] * size, threading.Barrier(size), [None] * size

    def run_one(rank):
        try:
            results[rank] = job(ThreadRank(rank, size, table, barrier))
        except BaseException as error:
            results[rank] = error

    threads = [threading.Thread(target=run_one, args=(rank,)) for rank in range(size)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


def alone(kind=ThreadRank):
    """Return the only rank of a communicator."""
    return kind(0, 1, [None], threading.Barrier(1))
