"""ONNX models, mutated by the fields of their messages."""

import onnx

MAX_BYTES = 1 << 15
OPERATORS = (
    *("RNN", "GRU", "LSTM", "MatMul", "Gemm", "Add", "Transpose", "Reshape", "Squeeze", "Constant"),
    *("Unsqueeze", "Slice", "Gather", "Expand", "Tile", "Shape", "Less", "Range", "Where", "Cast"),
    *("ConstantOfShape", "Concat", "Identity", "Dropout", "Loop", "If", "Split", "Flatten", "Pad"),
    *("GatherND", "ReverseSequence", "BatchNormalization", "Softmax", "Relu", "Sigmoid", "Mul"),
    *("ReduceSum", "OneHot", "DequantizeLinear", "Sub", "Div", "Size", "Equal", "Compress"),
)
INTEGERS = (0, 1, 2, 3, 4, 5, 6, 7, 8, -1, -2, 10, 16, 2**31 - 1, -(2**31), 2**40, 2**62, -(2**63))
FLOATS = (0.0, 1.0, -1.0, float("nan"), float("inf"), 1e-40)
TEXTS = (
    "",
    "x",
    "Tanh",
    "Relu",
    "Sigmoid",
    "bidirectional",
    "reverse",
    "ai.onnx",
    "crnn.categorical",
)
MOST_CHANGES = 4


def _messages(message, found):
    """All messages within a message, itself included."""
    found.append(message)
    for field, value in message.ListFields():
        if field.message_type is not None:
            for child in value if field.is_repeated else [value]:
                _messages(child, found)
    return found


def mutated_model(data, rng, raw):
    """A model with some fields changed, or its bytes."""
    if rng.random() < 0.15:
        return raw(data)
    model = onnx.ModelProto()
    try:
        model.ParseFromString(data)
    except Exception:  # an earlier mutation made it no model
        return raw(data)
    names = [name for node in model.graph.node for name in (*node.input, *node.output)]
    names += [tensor.name for tensor in model.graph.initializer]
    for _ in range(rng.randint(1, MOST_CHANGES)):
        messages = _messages(model.graph, [])
        message = rng.choice(messages)
        fields = list(type(message).DESCRIPTOR.fields)
        present = [field for field, _ in message.ListFields()]
        field = rng.choice(present if present and rng.random() < 0.8 else fields)
        try:
            _change(message, field, messages, names, rng, raw)
        except (ValueError, TypeError, OverflowError):
            # Protocol buffers hold no such value in this field.
            continue
    try:
        content = model.SerializeToString()
    except Exception:  # of the protocol buffers' own kinds
        return raw(data)
    return content if len(content) <= MAX_BYTES else raw(data)


def _change(message, field, messages, names, rng, raw):
    """Change one field of a message."""
    repeated = field.is_repeated
    value = getattr(message, field.name)
    if rng.random() < 0.1:
        message.ClearField(field.name)
    elif field.message_type is not None:
        of_kind = [m for m in messages if type(m).DESCRIPTOR is field.message_type]
        if not repeated:
            if of_kind:
                value.CopyFrom(_copy(rng.choice(of_kind)))
            return
        kind = rng.random()
        if kind < 0.3 and value:
            del value[rng.randrange(len(value))]
        elif kind < 0.5 and len(value) > 1:
            first, second = rng.sample(range(len(value)), 2)
            kept = _copy(value[first])
            value[first].CopyFrom(value[second])
            value[second].CopyFrom(kept)
        elif of_kind:
            chosen = _copy(rng.choice(of_kind))
            value.add().CopyFrom(chosen)
    elif repeated:
        kind = rng.random()
        if value and kind < 0.6:
            place = rng.randrange(len(value))
            value[place] = _scalar(field, value[place], names, rng, raw)
        elif value and kind < 0.75:
            del value[rng.randrange(len(value))]
        else:
            value.append(_scalar(field, field.default_value or None, names, rng, raw))
    else:
        setattr(message, field.name, _scalar(field, value, names, rng, raw))


def _copy(message):
    """A copy of a message, which may be a part of the one that it is copied to."""
    copied = type(message)()
    copied.CopyFrom(message)
    return copied


def _scalar(field, value, names, rng, raw):
    """A value for a field that is no message."""
    kind = field.cpp_type
    if kind in (field.CPPTYPE_FLOAT, field.CPPTYPE_DOUBLE):
        return rng.choice(FLOATS)
    if kind == field.CPPTYPE_STRING:
        choices = OPERATORS if field.name == "op_type" else names or TEXTS
        return rng.choice(choices) if rng.random() < 0.8 else rng.choice(TEXTS)
    if field.type == field.TYPE_BYTES:
        if rng.random() < 0.3:
            return rng.choice(TEXTS).encode()
        return raw(value or b"0")
    if kind == field.CPPTYPE_ENUM:
        return rng.choice(field.enum_type.values).number
    return rng.choice(INTEGERS) if rng.random() < 0.7 or not value else value + rng.choice((-1, 1))
