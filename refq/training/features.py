"""How far numbers of a student are from those of its teacher: logits, hidden states, attention maps."""

import numpy as np

from refq.training import arguments_losses as arguments

HIDDEN = -100  # a score of at most this is a mask


def squared_error(student, teacher):
    """Mean squared difference of each position.

    loss = mean (student - teacher)**2

    Parameters
        student, teacher: float32 (or float64), (..., D): logits, or hidden states of one width.
    Returns
        loss: (...), dtype of student.
    Raises
        ShapeError: the shapes do not fit.

    >>> squared_error(np.float32([[1, 2]]), np.float32([[1, 4]]))
    array([2.], dtype=float32)

    Source: definition.
    Spec: squared_error
    """
    student, teacher = arguments.states(student, teacher)
    return np.square(student - teacher).mean(axis=-1)


def squared_error_vjp(g, student, teacher):
    """Gradient of squared_error with respect to student.

    gstudent = g * 2 / D * (student - teacher)

    Parameters
        g: (...), dtype of student.
        student, teacher: as squared_error takes them.
    Returns
        gstudent: shape and dtype of student.
    Raises
        as squared_error; ShapeError if g has another shape than the loss.

    >>> squared_error_vjp(np.float32([1]), np.float32([[1, 2]]), np.float32([[1, 4]]))
    array([[ 0., -2.]], dtype=float32)

    Source: derivative of squared_error.
    Spec: squared_error_vjp
    """
    student, teacher = arguments.states(student, teacher)
    return arguments.incoming(g, student) * (2 * (student - teacher) / student.dtype.type(student.shape[-1]))


def cosine_distance(student, teacher):
    """One minus the cosine of the angle at each position.

    loss = 1 - sum a * b,  a = student / |student|,  b = teacher / |teacher|;  a vector of length 0 stays 0

    Parameters
        student, teacher: float32 (or float64), (..., D).
    Returns
        loss: (...), dtype of student, 0..2.
    Raises
        ShapeError: the shapes do not fit.

    >>> cosine_distance(np.float32([[2, 0], [0, -1], [0, 0]]), np.float32([[5, 0], [0, 1], [3, 4]]))
    array([0., 2., 1.], dtype=float32)

    Source: definition; the vector of length 0 is our choice.
    Spec: cosine_distance
    """
    student, teacher = arguments.states(student, teacher)
    return 1 - (_direction(student)[0] * _direction(teacher)[0]).sum(axis=-1)


def cosine_distance_vjp(g, student, teacher):
    """Gradient of cosine_distance with respect to student.

    gstudent = g / |student| * (a * sum a * b - b);  0 for a student of length 0

    Parameters
        g: (...), dtype of student.
        student, teacher: as cosine_distance takes them.
    Returns
        gstudent: shape and dtype of student.
    Raises
        as cosine_distance; ShapeError if g has another shape than the loss.

    >>> cosine_distance_vjp(np.float32([1]), np.float32([[2, 0]]), np.float32([[0, 3]]))
    array([[ 0. , -0.5]], dtype=float32)

    Source: derivative of cosine_distance.
    Spec: cosine_distance_vjp
    """
    student, teacher = arguments.states(student, teacher)
    g = arguments.incoming(g, student)
    (a, length), (b, _) = _direction(student), _direction(teacher)
    across = a * (a * b).sum(axis=-1, keepdims=True) - b
    return np.divide(g * across, length, out=np.zeros_like(student), where=length != 0)


def attention_map_error(student_scores, teacher_scores):
    """Mean squared difference of attention scores for each query.

    loss = mean (s - t)**2,  s, t = scores, those of at most -100 set to 0

    Parameters
        student_scores, teacher_scores: float32 (or float64), (..., S), before the softmax; masked ones -infinity.
    Returns
        loss: (...), dtype of student_scores.
    Raises
        ShapeError: the shapes do not fit.

    >>> attention_map_error(np.float32([[1, -np.inf]]), np.float32([[3, -np.inf]]))
    array([2.], dtype=float32)

    Source: KDLSQ-BERT (2101.05938), its released program.
    Spec: attention_map_error
    """
    student, teacher = arguments.states(student_scores, teacher_scores, "_scores")
    return squared_error(_seen(student), _seen(teacher))


def attention_map_error_vjp(g, student_scores, teacher_scores):
    """Gradient of attention_map_error with respect to student_scores.

    gstudent = g * 2 / S * (s - t) where student_scores > -100, else 0

    Parameters
        g: (...), dtype of student_scores.
        student_scores, teacher_scores: as attention_map_error takes them.
    Returns
        gstudent: shape and dtype of student_scores.
    Raises
        as attention_map_error; ShapeError if g has another shape than the loss.

    >>> attention_map_error_vjp(np.float32([1]), np.float32([[1, -np.inf]]), np.float32([[3, -np.inf]]))
    array([[-2.,  0.]], dtype=float32)

    Source: derivative of attention_map_error.
    Spec: attention_map_error_vjp
    """
    student, teacher = arguments.states(student_scores, teacher_scores, "_scores")
    gstudent = squared_error_vjp(g, _seen(student), _seen(teacher))
    return np.where(student <= HIDDEN, student.dtype.type(0), gstudent)


def _direction(x):
    """Vectors of length 1 along the last axis, or 0, and the lengths."""
    length = np.sqrt(np.square(x).sum(axis=-1, keepdims=True))
    return np.divide(x, length, out=np.zeros_like(x), where=length != 0), length


def _seen(scores):
    return np.where(scores <= HIDDEN, scores.dtype.type(0), scores)
