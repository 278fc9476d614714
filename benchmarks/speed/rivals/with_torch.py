"""PyTorch: torch.nn.RNN, GRU or LSTM, and Linear.

For a plain RNN also products by hand. The fastest form runs, on one thread or all cores.
`torch.compile` does not change nn.RNN; it compiles a loop of 50 time steps for a minute, and the
result is no faster than nn.RNN.
"""

import functools

import numpy as np
import torch

from benchmarks.speed.rivals import NAMES, Problem
from benchmarks.speed.timing import fastest

THREADS = sorted({1, torch.get_num_threads()})


def _run(threads, form):
    torch.set_num_threads(threads)
    return form()


def best(*forms):
    """Return the fastest form, and set the number of threads that it is fastest with."""
    jobs = {functools.partial(_run, n, form): (n, form) for n in THREADS for form in forms}
    threads, form = jobs[fastest(*jobs)]
    torch.set_num_threads(threads)
    return form


class _Model(torch.nn.Module):
    def __init__(self, problem: Problem) -> None:
        super().__init__()
        _, _, I, H, O = problem.sizes
        dtype = torch.float64 if problem.dtype == np.float64 else torch.float32
        self.rnn = getattr(torch.nn, problem.kind)(I, H, dtype=dtype)
        self.linear = torch.nn.Linear(H, O, dtype=dtype)
        self.named = {
            "W_xh": self.rnn.weight_ih_l0,
            "W_hh": self.rnn.weight_hh_l0,
            "b_h": self.rnn.bias_ih_l0,
            "W_hy": self.linear.weight,
            "b_y": self.linear.bias,
        }
        G_H = len(self.rnn.bias_ih_l0)
        with torch.no_grad():
            for name in NAMES:
                values = torch.from_numpy(problem.params[name])
                self.named[name].copy_(values[:G_H] if name == "b_h" else values)
            self.rnn.bias_hh_l0.zero_()
            if problem.kind == "GRU":
                self.rnn.bias_hh_l0[2 * H :] = torch.from_numpy(problem.params["b_h"][3 * H :])
        # crnn has one bias, so the second one stays zero, except the bias of W_hn h in a GRU.
        self.rnn.bias_hh_l0.requires_grad_(problem.kind == "GRU")
        self.kind, self.H = problem.kind, H

    def forward(self, x):
        return self.linear(self.rnn(x)[0])


def _time_major(array: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(array.swapaxes(0, 1)))


class _Train:
    def __init__(self, problem: Problem) -> None:
        self._model = _Model(problem)
        trained = [p for p in self._model.parameters() if p.requires_grad]
        self._sgd = torch.optim.SGD(trained, lr=0.0, fused=True)
        self._loss = torch.nn.MSELoss()
        self._x, self._y = _time_major(problem.x), _time_major(problem.y)
        best(self)

    @property
    def lr(self) -> float:
        return self._sgd.param_groups[0]["lr"]

    @lr.setter
    def lr(self, value: float) -> None:
        self._sgd.param_groups[0]["lr"] = value

    def __call__(self) -> None:
        self._sgd.zero_grad(set_to_none=True)
        self._loss(self._model(self._x), self._y).backward()
        self._sgd.step()

    def parameters(self) -> dict[str, np.ndarray]:
        found = {name: self._model.named[name].detach().numpy().copy() for name in NAMES}
        if self._model.kind == "GRU":
            of_n = self._model.rnn.bias_hh_l0.detach().numpy()[2 * self._model.H :]
            found["b_h"] = np.concatenate([found["b_h"], of_n])
        return found


def train_step(problem: Problem) -> _Train:
    return _Train(problem)


def inference(problem: Problem):
    model = _Model(problem).eval()
    x = _time_major(problem.x)
    if problem.kind != "RNN":

        def by_fused_module():
            with torch.inference_mode():
                return model(x)

        return best(by_fused_module)
    W_xh, W_hh, b_h, W_hy, b_y = (model.named[name].detach() for name in NAMES)
    T, B, _, H, _ = problem.sizes

    def by_module():
        with torch.inference_mode():
            return model(x)

    def by_products():
        with torch.inference_mode():
            states = torch.addmm(b_h, x.flatten(0, 1), W_xh.T).unflatten(0, (T, B))
            h = torch.zeros(B, H, dtype=x.dtype)
            for h_t in states.unbind():
                h = h_t.addmm_(h, W_hh.T).tanh_()
            return torch.addmm(b_y, states.flatten(0, 1), W_hy.T).unflatten(0, (T, B))

    return best(by_module, by_products)


def streaming_step(problem: Problem):
    model = _Model(problem).eval()
    W_xh, W_hh, b_h, W_hy, b_y = (model.named[name].detach() for name in NAMES)
    cell = getattr(torch.nn, f"{problem.kind}Cell")(
        problem.sizes.I, problem.sizes.H, dtype=W_xh.dtype
    )
    cell.load_state_dict({k.removesuffix("_l0"): v for k, v in model.rnn.state_dict().items()})
    x_t = torch.from_numpy(problem.x[:, 0].copy())

    def by_cell(x, h):
        h = cell(x, h)
        return model.linear(h[0] if problem.kind == "LSTM" else h), h

    def by_module(x, h):
        y, h = model.rnn(x[None], h)
        return model.linear(y[0]), h

    def by_products(x, h):
        h = torch.addmm(b_h, x, W_xh.T).addmm_(h, W_hh.T).tanh_()
        return torch.addmm(b_y, h, W_hy.T), h

    def zero(form):
        layers = (1,) if form is by_module else ()
        h = torch.zeros(*layers, problem.sizes.B, problem.sizes.H, dtype=W_xh.dtype)
        return (h, h.clone()) if problem.kind == "LSTM" else h

    def job(form):
        h = zero(form)

        def run():
            with torch.inference_mode():
                form(x_t, h)

        return run

    forms = (by_cell, by_products) if problem.kind == "RNN" else (by_cell, by_module)
    jobs = {job(form): form for form in forms}
    form = jobs[best(*jobs)]
    h = zero(form)

    def step(x):
        nonlocal h
        with torch.inference_mode():
            y, h = form(torch.from_numpy(x), h)
            return y.numpy()

    return step
