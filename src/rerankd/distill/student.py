"""The student before its first lesson: some of the teacher's layers, and everything else of it."""

from typing import Any

from rerankd.errors import ConfigError

__all__ = ["imitated", "spread", "student_of"]


def spread(layers: int, of: int) -> tuple[int, ...]:
    """Which of the teacher's layers the student begins with: evenly spread, the first and the last among them."""
    if not 1 <= layers <= of:
        raise ConfigError(f"--layers: the teacher has {of} layers, got {layers}")
    if layers == 1:
        return (of - 1,)
    return tuple(round(place * (of - 1) / (layers - 1) - 1e-9) for place in range(layers))


def imitated(layers: int, of: int) -> tuple[int, ...]:
    """After which of the teacher's layers (from 1) each of the student's should have come as far."""
    return tuple(round((place + 1) * of / layers) for place in range(layers))


def student_of(teacher: Any, layers: int) -> Any:
    """A network like the teacher with so many layers. Its word embeddings stay as they are."""
    import copy

    kept = spread(layers, teacher.config.num_hidden_layers)
    config = copy.deepcopy(teacher.config)
    config.num_hidden_layers = layers
    student = type(teacher)(config)
    state = {}
    for name, value in teacher.state_dict().items():
        before, found, after = name.partition(".layer.")
        if not found:
            state[name] = value
            continue
        number, _, rest = after.partition(".")
        if int(number) in kept:
            state[f"{before}.layer.{kept.index(int(number))}.{rest}"] = value
    student.load_state_dict(state)
    student.base_model.embeddings.word_embeddings.weight.requires_grad = False
    return student
