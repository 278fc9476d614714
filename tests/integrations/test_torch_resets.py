"""Sequences that restart in crnn's modules: against PyTorch's modules over pieces cut by hand."""

import copy
from itertools import pairwise

import pytest

torch = pytest.importorskip("torch")

from torch._dynamo.testing import CompileCounterWithBackend  # noqa: E402
from torch.export import Dim, export  # noqa: E402
from torch.func import functional_call, grad, vmap  # noqa: E402
from torch.nn.utils.rnn import (  # noqa: E402
    PackedSequence,
    pack_padded_sequence,
    pad_packed_sequence,
)
from torch_modules import (  # noqa: E402
    KINDS,
    assert_tensors_close,
    first_states,
    tensors_in,
    twins,
    with_gradients,
)

import crnn.torch  # noqa: E402

B, T, I, H = 4, 9, 3, 5
LENGTHS = [6, 9, 1, 7]

generator = torch.Generator().manual_seed(11)
RESETS = torch.rand(B, T, generator=generator) < 0.25
RESETS[0, [0, 1, T - 1]] = RESETS[1, 4] = RESETS[2, 0] = True
RESETS[1, 0] = RESETS[3, 0] = False

CELLS = {
    "tanh": ("RNN", {}),
    "relu": ("RNN", {"nonlinearity": "relu"}),
    "gru": ("GRU", {}),
    "lstm": ("LSTM", {}),
}
cells = pytest.mark.parametrize(("kind", "settings"), CELLS.values(), ids=CELLS)
kinds = pytest.mark.parametrize("kind", KINDS)


def normal(*shape, dtype=torch.float32):
    return torch.randn(shape, dtype=dtype, generator=generator)


def by_hand(module, x, states, lengths):
    """Outputs (B, T, H), zero past a sequence's end, and last states: one piece after another."""
    rows, last = [], []
    for b, n in enumerate(lengths):
        begins = [0, *(t for t in range(1, n) if RESETS[b, t]), n]
        outputs = []
        for first, end in pairwise(begins):
            given = None
            if first == 0 and states is not None and not RESETS[b, 0]:
                given = [part[:, b] for part in tensors_in([states])]
                given = tuple(given) if module.mode == "LSTM" else given[0]
            output, state = module(x[b, first:end], given)
            outputs.append(output)
        rows.append(torch.cat([*outputs, x.new_zeros(x.shape[1] - n, module.hidden_size)]))
        last.append(tensors_in([state]))
    return torch.stack(rows), [torch.stack(parts, 1) for parts in zip(*last, strict=True)]


def gradients(results, leaves):
    """Of a sum of all results, each times numbers of its own."""
    numbers = torch.Generator().manual_seed(3)
    loss = 0
    for result in results:
        loss += (result * torch.randn(result.shape, dtype=result.dtype, generator=numbers)).sum()
    return torch.autograd.grad(loss, leaves, materialize_grads=True)


def leaves_of(x, states, module):
    return [x, *(tensors_in([states]) if states is not None else []), *module.parameters()]


@cells
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("num_layers", [1, 2])
@pytest.mark.parametrize("has_states", [True, False])
@pytest.mark.parametrize("form", ["batch first", "time first", "one", "packed"])
def test_pieces_are_sequences_of_their_own(kind, settings, dtype, num_layers, has_states, form):
    batch_first = form == "batch first"
    ours, theirs = twins(kind, I, H, num_layers, **settings, batch_first=batch_first, dtype=dtype)
    batch, lengths = (1, [T]) if form == "one" else (B, LENGTHS if form == "packed" else [T] * B)
    x = normal(batch, T, I, dtype=dtype).requires_grad_()
    states = with_gradients(first_states(theirs, batch, dtype, generator)) if has_states else None
    expected, last = by_hand(theirs, x, states, lengths)
    given, resets, hx = x, RESETS, states
    if form == "time first":
        given, resets = x.transpose(0, 1), RESETS.T
    elif form == "one":
        given, resets = x[0], RESETS[0]
        if has_states:
            hx = tuple(part[:, 0] for part in states) if kind == "LSTM" else states[:, 0]
    elif form == "packed":
        given, resets = (
            pack_padded_sequence(rows, LENGTHS, batch_first=True, enforce_sorted=False)
            for rows in (x, RESETS)
        )
    output, state = ours(given, hx, resets)
    with torch.no_grad():
        inferred = tensors_in(ours(given, hx, resets))
    if form == "packed":
        assert torch.equal(output.sorted_indices, given.sorted_indices)
        output = pad_packed_sequence(output, batch_first=True)[0]
        inferred[0] = pad_packed_sequence(PackedSequence(inferred[0], *given[1:]), True)[0]
    state = tensors_in([state])
    for number, results in enumerate(([output, *state], inferred)):
        top, *parts = results
        if form == "one":
            top, parts = top[None], [part[:, None] for part in parts]
        elif form == "time first":
            top = top.transpose(0, 1)
        assert_tensors_close(top, expected, f"outputs {number}")
        for part, wanted in zip(parts, last, strict=True):
            assert_tensors_close(part, wanted, f"states {number}")
        if number == 0:
            found = gradients([top, *parts], leaves_of(x, states, ours))
    wanted = gradients([expected, *last], leaves_of(x, states, theirs))
    for number, (gradient, of_theirs) in enumerate(zip(found, wanted, strict=True)):
        assert_tensors_close(gradient, of_theirs, f"gradient {number}")


@kinds
@pytest.mark.parametrize("dropout", [0, 0.5])
def test_gradcheck(kind, dropout):
    torch.manual_seed(1)
    module = getattr(crnn.torch, kind)(I, 4, 2, dropout=dropout, batch_first=True).double()
    x = normal(2, 5, I, dtype=torch.float64).requires_grad_()
    states = with_gradients(first_states(module, 2, torch.float64, generator))

    def run(x, *others):
        torch.manual_seed(7)
        given = others[:2] if kind == "LSTM" else others[0]
        return tuple(tensors_in(module(x, given, RESETS[:2, :5])))

    assert torch.autograd.gradcheck(run, leaves_of(x, states, module))


@kinds
def test_dropout_leaves_out_the_same_numbers(kind):
    """Before the first reset, the outputs are those without; after, `x` before has no effect."""
    module = getattr(crnn.torch, kind)(I, 20, 2, dropout=0.5, batch_first=True)
    x, resets = normal(B, T, I), torch.zeros(B, T, dtype=torch.bool)
    resets[:, 4] = True
    other = torch.cat([normal(B, 4, I), x[:, 4:]], 1)

    def run(*arguments):
        torch.manual_seed(2)
        return module(*arguments)[0]

    y = run(x, None, resets)
    assert torch.equal(y[:, :4], run(x)[:, :4])
    assert torch.equal(y[:, 4:], run(other, None, resets)[:, 4:])
    assert not torch.equal(y[:, 4:], run(x)[:, 4:])


@kinds
def test_no_resets_are_the_bits_without(kind):
    module, x = getattr(crnn.torch, kind)(I, H, 2), normal(T, B, I)
    resets = torch.zeros(T, B, dtype=torch.bool)
    found, expected = (tensors_in(module(x, None, marks)) for marks in (resets, None))
    for result, wanted in zip(found, expected, strict=True):
        assert torch.equal(result, wanted)


def test_resets_changed_before_the_backward_pass():
    module, resets = crnn.torch.GRU(I, H, batch_first=True), RESETS.clone()
    loss = module(normal(B, T, I), None, resets)[0].sum()
    resets[0, 3] ^= True
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        loss.backward()


@kinds
def test_vmap(kind):
    """Over inputs with resets of their own, and gradients of weights for each."""
    module = getattr(crnn.torch, kind)(I, H)
    params = {name: parameter.detach() for name, parameter in module.named_parameters()}
    x = normal(B, T, I)

    def loss(params, sequence, resets):
        return functional_call(module, params, (sequence, None, resets))[0].square().sum()

    found = vmap(grad(loss), in_dims=(None, 0, 0))(params, x, RESETS)
    for b in range(B):
        module.zero_grad()
        module(x[b], None, RESETS[b])[0].square().sum().backward()
        for name, parameter in module.named_parameters():
            assert_tensors_close(found[name][b], parameter.grad, name)


@kinds
@pytest.mark.filterwarnings("ignore:.torch.jit:DeprecationWarning")  # of PyTorch's own code
def test_compiled(kind):
    """One graph for all sizes, with resets as an input."""
    torch._dynamo.reset()
    torch.manual_seed(0)
    module = getattr(crnn.torch, kind)(I, H, 2, batch_first=True)
    counter = CompileCounterWithBackend("aot_eager")
    twin = torch.compile(copy.deepcopy(module), backend=counter, fullgraph=True, dynamic=True)
    counts = []
    for batch, steps in ((B, T), (3, 7), (2, 8)):
        x, resets = normal(batch, steps, I), RESETS[:batch, :steps].clone()
        states = first_states(module, batch, torch.float32, generator)
        found, expected = (tensors_in(run(x, states, resets)) for run in (twin, module))
        for result, wanted in zip(found, expected, strict=True):
            assert torch.equal(result, wanted)
        pairs = [
            gradients(results, list(run.parameters()))
            for results, run in ((found, twin), (expected, module))
        ]
        for gradient, wanted in zip(*pairs, strict=True):
            assert_tensors_close(gradient, wanted)
        counts.append(counter.frame_count)
    assert counts[0] == counts[-1]
    torch._dynamo.reset()


@pytest.mark.filterwarnings("ignore:.torch.jit:DeprecationWarning")  # of PyTorch's own code
def test_exported(tmp_path):
    module = crnn.torch.LSTM(I, H, batch_first=True)
    sizes = {0: Dim("batch"), 1: Dim("time")}
    program = export(module, (normal(B, T, I), None, RESETS), dynamic_shapes=(sizes, None, sizes))
    path = tmp_path / "program.pt2"
    torch.export.save(program, path)
    exported = torch.export.load(path).module()
    for batch, steps in ((B, T), (2, 5)):
        arguments = normal(batch, steps, I), None, RESETS[:batch, :steps]
        found, expected = (tensors_in(run(*arguments)) for run in (exported, module))
        for result, wanted in zip(found, expected, strict=True):
            assert torch.equal(result, wanted)


@kinds
def test_shapes_alone(kind):
    module = getattr(crnn.torch, kind)(I, H, device="meta")
    resets = torch.zeros(T, B, dtype=torch.bool, device="meta")
    output, _ = module(torch.zeros(T, B, I, device="meta"), None, resets)
    assert output.shape == (T, B, H)
    module = getattr(crnn.torch, kind)(I, H)
    assert module(torch.zeros(T, 0, I), None, torch.zeros(T, 0) > 0)[0].shape == (T, 0, H)
