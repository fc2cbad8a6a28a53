"""What channel reassembly gains on a linear layer of 64 channels, three of them with outliers: means of 8 layers."""

import numpy as np
import pytest
import threadpoolctl

import refq

EXTRA = (1, 3, 6, 10, 13)  # channels that the splits add
SEEDS = range(8)


def layer(seed, alike=False):
    """x with outliers of 40, 25 and 8 times the others, and w; alike: four copies of each of 16 channels, and noise."""
    random = np.random.default_rng(seed)
    x, w = random.standard_normal((256, 64)), random.standard_normal((64, 64)) / 8
    if alike:
        x = np.repeat(random.standard_normal((256, 16)), 4, axis=1) + 0.05 * random.standard_normal((256, 64))
        x = x[:, random.permutation(64)]
    x[:, random.permutation(64)[:3]] *= [40, 25, 8]
    return x, w


def on_grid(a, bits):
    """QLLM's grid: min-max of each row, which need not hold 0."""
    low = a.min(axis=-1, keepdims=True)
    scale = (a.max(axis=-1, keepdims=True) - low) / (2**bits - 1)
    zero_point = -np.rint(low / scale)
    return (np.clip(np.rint(a / scale) + zero_point, 0, 2**bits - 1) - zero_point) * scale


def error(x, w, form, bits=None):
    """Mean squared error of the outputs, with inputs and weights on grids or not."""
    new_x, new_w = refq.reassemble_input(x, form), refq.reassemble_weight(w, form)
    if bits:
        new_x, new_w = on_grid(new_x, bits), on_grid(new_w, bits)
    return np.mean((new_x @ new_w.T - x @ w.T) ** 2)


def forms(x, w, extra):
    """Reassemblies with the highest threshold that adds at least `extra` channels: one for each way to make room."""
    maximum = np.abs(x).max(axis=0)
    thresholds = refq.threshold_grid(maximum, 500)
    added = np.maximum(np.ceil(maximum / thresholds[:, None]), 1).sum(axis=1) - 64
    threshold = float(thresholds[added >= extra][-1])
    counts = refq.channel_splits(maximum, threshold)
    origin = np.repeat(np.arange(64), counts)
    pruned = refq.channel_pruning(x[:, origin], w[:, origin], len(origin) - 64, counts[origin] > 1)
    return {
        "split alone": refq.assemble(counts, np.arange(len(origin))),
        "distance": refq.reassembly(maximum, refq.channel_distance(x, w), threshold),
        "pruning": refq.assemble(counts, pruned),
        "program's score": refq.reassembly(maximum, refq.official_channel_score(x, w), threshold),
    }


@pytest.fixture(scope="module", params=[False, True], ids=["independent", "alike"])
def measured(request):
    """(alike, way -> bits -> errors for each of EXTRA, the errors without reassembly at 4, 6 and 8 bits)."""
    with threadpoolctl.threadpool_limits(limits=1, user_api="blas"):
        return request.param, *_measured(request.param)


def _measured(alike):
    layers = [layer(seed, alike) for seed in SEEDS]
    plain = refq.assemble(np.ones(64, int), np.arange(64))
    without = {bits: np.mean([error(x, w, plain, bits) for x, w in layers]) for bits in (4, 6, 8)}
    made = [[forms(x, w, extra) for extra in EXTRA] for x, w in layers]
    errors = {
        way: {
            bits: np.array(
                [[error(x, w, form[way], bits) for form in row] for (x, w), row in zip(layers, made, strict=True)]
            ).mean(axis=0)
            for bits in (None, 4)
        }
        for way in made[0][0]
    }
    return errors, without


def test_splitting_alone_is_exact_and_helps_the_more_the_more_is_split(measured):
    _, errors, without = measured
    assert errors["split alone"][None].max() < 1e-24
    assert (np.diff([without[4], *errors["split alone"][4]]) < 0).all()
    assert errors["split alone"][4][-1] < 0.5 * without[4]


def test_before_quantization_the_distance_loses_least(measured):
    alike, errors, _ = measured
    distance, pruning, score = (errors[way][None] for way in ("distance", "pruning", "program's score"))
    assert (distance < pruning).all()
    if alike:  # copies can be merged for nothing, but not be left out; the program's score does not find all of them
        assert distance.max() < 1e-3
        assert (np.minimum(pruning, score)[2:] > 50 * distance[2:]).all()
    else:
        assert (pruning < score).all()
        np.testing.assert_allclose(distance, [0.008, 0.025, 0.055, 0.099, 0.134], atol=0.001)


def test_at_4_bits_there_is_a_best_threshold_between_the_ends(measured):
    alike, errors, without = measured
    found = errors["distance"][4]
    assert (found < without[4]).all()
    assert found[1:4].min() < 0.98 * min(found[0], found[-1])
    if not alike:
        np.testing.assert_allclose(without[4], 0.898, atol=0.001)
        np.testing.assert_allclose([without[6], without[8]], [0.0746, 0.0046], atol=0.0002)


def test_a_worked_example():
    """[1, 2, 12] below 5: 12 becomes three 4s, and the outputs stay 7 and -4."""
    x, w = np.float32([[1, 2, 12]]), np.float32([[1, 0, 0.5], [0, 1, -0.5]])
    form = refq.assemble(refq.channel_splits(np.abs(x[0]), 5.0), np.arange(5))
    np.testing.assert_array_equal(refq.reassemble_input(x, form), [[1, 2, 4, 4, 4]])
    y = refq.linear(refq.reassemble_input(x, form), refq.reassemble_weight(w, form))
    np.testing.assert_array_equal(y, [[7, -4]])


def test_the_distance_is_the_error_of_one_merge():
    x, w = np.float32([[1, 2], [3, 1]]), np.float32([[1, 0], [0, 2]])
    form = refq.assemble([1, 1], [1, 1])
    difference = refq.reassemble_input(x, form) @ refq.reassemble_weight(w, form).T - x @ w.T
    np.testing.assert_array_equal(-difference, [[-0.5, 1], [1, -2]])
    assert (difference**2).sum() == refq.channel_distance(x, w)[0, 1] == 6.25
    assert refq.official_channel_score(x, w)[0, 1] == 45
