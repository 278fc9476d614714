"""What a forward pass leaves for backpropagation."""

from typing import TYPE_CHECKING, Any, Generic

import numpy as np

from crnn._typing import Array, BoolArray, IntArray, StateT

if TYPE_CHECKING:
    from crnn._network.architecture import Architecture
    from crnn._network.layers import LayersTape


class Block:
    """A block of steps of a forward pass.

    Attributes
    ----------
    first, last : int
        The steps are [first, last).
    states : array (layers * directions, B, S)
        The states before it.
    lengths : array (B,) or None
        Steps of each sequence in it.
    skip : bool array (B, last - first) or None
        Which of its steps are skipped.
    resets : bool array (B, last - first) or None
        Before which of its steps sequences restart.
    tape : LayersTape or None
        None: not kept, to be computed again from the states.
    """

    __slots__ = ("first", "last", "lengths", "resets", "skip", "states", "tape")

    def __init__(
        self,
        first: int,
        last: int,
        states: Array,
        lengths: IntArray | None,
        skip: BoolArray | None,
        resets: BoolArray | None,
    ) -> None:
        self.first = first
        self.last = last
        self.states = states
        self.lengths = lengths
        self.skip = skip
        self.resets = resets
        self.tape: LayersTape | None = None


class Tape(Generic[StateT]):
    """What `RNN.forward` computed, as `RNN.backward` reads it.

    `backward` uses the parameters of the moment it is called: do not change them in between. For a
    single sequence no array here has the batch axis. The states are read-only, because `backward`
    reads them.

    Attributes
    ----------
    y : array (batch, time, outputs)
        Outputs, in the network's dtype; zero past a sequence's end. Without `return_sequences`
        (batch, outputs).
    h : array (batch, time + 1, hidden)
        Hidden states, h_0 first.
    c : array (batch, time + 1, hidden)
        For an LSTM: its memory cells, c_0 first.
    h_n : array (batch, hidden)
        The last states; (layers * directions, batch, hidden) for several layers or directions. For
        an LSTM: the pair (h_n, c_n).

    Notes
    -----
    The attributes without an entry above serve `backward` and may change.
    """

    __slots__ = (
        "architecture",
        "blocks",
        "has_h0",
        "is_single",
        "last_states",
        "lengths",
        "outputs",
        "owner",
        "x",
    )

    def __init__(
        self,
        architecture: "Architecture",
        owner: object,
        x: Array,
        lengths: IntArray | None,
        outputs: Array,
        states: Array,
        blocks: list[Block],
        *,
        has_h0: bool,
    ) -> None:
        self.architecture = architecture
        # The network that made the tape
        self.owner = owner
        self.x = x
        self.lengths = lengths
        # In the core's form: y, and h_n
        self.outputs = outputs
        self.last_states = states
        states.flags.writeable = False
        self.blocks = blocks
        # h0 was passed, so a trainable h0 gets no gradient.
        self.has_h0 = has_h0
        # A single sequence: the public arrays have no batch axis.
        self.is_single = False

    @property
    def y(self) -> Array:
        """Outputs (batch, time, outputs), or (batch, outputs) without `return_sequences`."""
        return self.outputs[0] if self.is_single else self.outputs

    @property
    def h_n(self) -> StateT:
        """The last states (batch, hidden), or for an LSTM the pair (h_n, c_n)."""
        states: StateT = self.architecture.public_states(self.last_states, single=self.is_single)
        return states

    @property
    def h(self) -> Array:
        """Hidden states (batch, time + 1, hidden), h_0 first; past a sequence's end its last.

        For several layers or directions (layers * directions, batch, time + 1, hidden); a backward
        direction's are in the order in which it reads.

        Raises
        ------
        ValueError
            The tape was made with `checkpoint_every`, which does not keep them.
        """
        states = self._all_states("h")
        h: Array = states[0] if isinstance(states, tuple) else states
        return h

    @property
    def c(self) -> Array:
        """Memory cells of an LSTM, in the form of `h`, c_0 first.

        Raises
        ------
        ValueError
            The tape was made with `checkpoint_every`, which does not keep them.
        AttributeError
            The network is no LSTM.
        """
        if self.architecture.cell_row.state_blocks == 1:
            raise AttributeError("c: expected the tape of an LSTM, which has memory cells")
        cells: Array = self._all_states("c")[1]
        return cells

    def _all_states(self, name: str) -> Any:
        """Return the states of all steps, for an LSTM as a pair."""
        tape = self.blocks[0].tape
        if tape is None:
            raise ValueError(f"{name}: expected a tape made without checkpoint_every")
        h = tape.all_states(self.architecture.directions)
        states = h[0][None] if len(h) == 1 else np.stack(h)
        states.flags.writeable = False
        return self.architecture.public_states(states, single=self.is_single)

    def __repr__(self) -> str:
        has_states = self.blocks[0].tape is not None
        h = f"h {self.h.shape}, " if has_states else ""
        h_n: Any = self.h_n
        described = f"2 x {h_n[0].shape}" if isinstance(h_n, tuple) else f"{h_n.shape}"
        return f"Tape(y {self.y.shape}, {h}h_n {described})"
