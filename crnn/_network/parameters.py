"""Parameters and gradients by name: views of one flat vector."""

from collections.abc import Iterator, Mapping
from typing import Generic

from crnn._typing import Array, StateT


class Parameters(Mapping[str, Array]):
    """Named views of one vector: assigning into a view changes the vector.

    Attributes
    ----------
    flat : array (n,)
        The vector.
    """

    def __init__(self, flat: Array, views: dict[str, Array]) -> None:
        self.flat = flat
        self._views = views

    def __getitem__(self, name: str) -> Array:
        return self._views[name]

    def __setitem__(self, name: str, value: Array) -> None:
        # `params[name] *= 2` changes the view, then assigns it.
        if value is not self._views.get(name):
            raise TypeError(
                f"{name}: expected an assignment into the view, [{name!r}][...] = values"
            )

    def __iter__(self) -> Iterator[str]:
        return iter(self._views)

    def __len__(self) -> int:
        return len(self._views)

    def __repr__(self) -> str:
        shapes = ", ".join(f"{name} {view.shape}" for name, view in self.items())
        return f"{type(self).__name__}({shapes})"


class Gradients(Parameters, Generic[StateT]):
    """The gradients of all parameters, dL/d(parameter), by the parameter's name.

    Attributes
    ----------
    flat : array (n,)
        The vector that the named gradients are views of, in the order of `RNN.flat_params`.
    x : array or None
        dL/dx, of the shape of x; None for category numbers.
    h0 : array, or for an LSTM a pair
        dL/dh_0, of the shape of h0. Where h0 is a parameter, its gradient is ``["h0"]``.
    """

    def __init__(self, flat: Array, views: dict[str, Array], x: Array | None, h0: StateT) -> None:
        super().__init__(flat, views)
        self.x = x
        self.h0 = h0
