"""Counter-based random numbers: published words, distributions, and the same bits everywhere."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest
from scipy import stats

from lmltgrid.kernels import random

POINT = np.array([0x12345678, 0x9ABCDEF0, 0x0FEDCBA9, 0x87654321])
MEANS = (1e-3, 0.1, 1.0, 3.7, 9.999, 10.0, 14.6, 50.0, 1e3, 1e6, 1e9)
DRAWS = 20_000

# Random123 1.14, file tests/kat_vectors, lines "philox4x32 10": counter, key, result
KNOWN = (
    (
        "00000000 00000000 00000000 00000000",
        "00000000 00000000",
        "6627e8d5 e169c58d bc57ac4c 9b00dbd8",
    ),
    (
        "ffffffff ffffffff ffffffff ffffffff",
        "ffffffff ffffffff",
        "408f276d 41c83b0e a20bc7c6 6d5451fd",
    ),
    (
        "243f6a88 85a308d3 13198a2e 03707344",
        "a4093822 299f31d0",
        "d16cfe09 94fdcceb 5001e420 24126ea1",
    ),
)


def words(text: str) -> tuple[int, ...]:
    return tuple(int(word, 16) for word in text.split())


def drawn(mean: float, count: int = DRAWS, point: np.ndarray = POINT) -> np.ndarray:
    """One Poisson number of each of many pseudo-experiments."""
    stream, out = random.streams(point), np.empty(count)
    for i in range(count):
        random.begin(stream, i)
        out[i] = random.poisson(stream, mean)
    return out


@pytest.mark.golden
@pytest.mark.parametrize(("counter", "key", "result"), KNOWN)
def test_words_are_the_published_ones(counter: str, key: str, result: str) -> None:
    assert random.philox(*words(counter), *words(key)) == words(result)


@pytest.mark.parametrize("mean", MEANS)
def test_poisson_numbers_have_the_distribution(mean: float) -> None:
    """Pearson's chi-square in bins of nearly the same probability, and the first two moments.

    Each mean has its own random numbers; seeds are fixed, so that 1e-3 is no chance of failure.
    """
    point = np.array([19, int(mean * 1e4) % 2**32, 3, 4])
    counts = drawn(mean, point=point)
    edges = np.unique(stats.poisson.ppf(np.linspace(0.0, 1.0, 22)[1:-1], mean))
    edges = edges[stats.poisson.sf(edges, mean) * DRAWS > 5.0]
    if edges.size:
        cumulative = np.concatenate([[0.0], stats.poisson.cdf(edges, mean), [1.0]])
        seen = np.bincount(np.searchsorted(edges, counts), minlength=edges.size + 1)
        found = stats.chisquare(seen, DRAWS * np.diff(cumulative))
        assert found.pvalue > 1e-3
    error = np.sqrt(mean / DRAWS)
    assert abs(counts.mean() - mean) < 4.0 * error
    # the variance of the sample variance: (mu_4 - var^2)/n with mu_4 = 3 mean^2 + mean
    spread = np.sqrt((2.0 * mean**2 + mean) / DRAWS)
    assert abs(counts.var() - mean) < 4.0 * spread
    assert np.all(counts == np.floor(counts))


@pytest.mark.parametrize("mean", [0.5, 14.9, 15.1, 300.0, 1e7])
def test_log_probability_of_a_count(mean: float) -> None:
    for count in np.unique(stats.poisson.ppf([0.001, 0.1, 0.5, 0.9, 0.999], mean)):
        expected = stats.poisson.logpmf(count, mean)
        # scipy subtracts numbers of the size of mean log mean
        wide = 1e-15 * mean * np.log(mean + 2.0) + 1e-13
        assert random.log_poisson(float(count), mean) == pytest.approx(expected, abs=wide)
    assert random.log_poisson(-1.0, mean) == -np.inf


@pytest.mark.parametrize("mean", [1e-12, 1e-3, 2.0, 9.99])
def test_counts_from_a_table_are_the_same(mean: float) -> None:
    total = np.empty(random.MOST)
    known = random.cumulate(mean, total)
    assert known < random.MOST - 10
    np.testing.assert_allclose(total[:known], stats.poisson.cdf(np.arange(known), mean), rtol=1e-14)
    stream, found = random.streams(POINT), np.empty(500)
    for i in range(found.size):
        random.begin(stream, i)
        found[i] = random.place(stream, total, known)
    np.testing.assert_array_equal(found, drawn(mean, found.size))


def test_impossible_means() -> None:
    stream = random.streams(POINT)
    assert random.poisson(stream, 0.0) == 0.0
    assert random.poisson(stream, -1.0) == 0.0
    assert np.isnan(random.poisson(stream, np.inf))
    assert np.isnan(random.poisson(stream, np.nan))


def test_uniform_and_normal_numbers() -> None:
    stream, flat, bell = random.streams(POINT), np.empty(DRAWS), np.empty(DRAWS)
    random.begin(stream, 0)
    for i in range(DRAWS):
        flat[i] = random.uniform(stream)
    for i in range(DRAWS):
        bell[i] = random.normal(stream)
    assert 0.0 < flat.min() < flat.max() < 1.0
    assert stats.kstest(flat, "uniform").pvalue > 1e-3
    assert stats.kstest(bell, "norm").pvalue > 1e-3
    # neighbors, which share a block, have nothing to do with each other
    assert abs(np.corrcoef(flat[::2], flat[1::2])[0, 1]) < 4.0 / np.sqrt(DRAWS / 2)


def test_a_stream_is_its_point_and_its_number() -> None:
    ahead, back = drawn(3.0, 50), np.empty(50)
    stream = random.streams(POINT)
    for i in reversed(range(50)):
        random.begin(stream, i)
        back[i] = random.poisson(stream, 3.0)
    np.testing.assert_array_equal(ahead, back)
    for word in range(4):
        other = POINT.copy()
        other[word] ^= 1
        assert np.any(drawn(3.0, 50, other) != ahead)


BITS = """
import hashlib
import numpy as np
from lmltgrid.kernels import random
stream, out = random.streams(np.array([1, 2**32 - 1, 3, 2**31])), []
for i in range(300):
    random.begin(stream, i)
    out += [random.uniform(stream), random.normal(stream)]
    out += [random.poisson(stream, mean) for mean in (1e-3, 2.5, 9.9, 11.0, 1e3, 1e9)]
print(hashlib.sha256(np.array(out).tobytes()).hexdigest())
"""


def test_compiled_and_plain_numbers_have_the_same_bits() -> None:
    digests = set()
    for plain in ("0", "1"):
        env = os.environ | {"NUMBA_DISABLE_JIT": plain}
        call = [sys.executable, "-c", BITS]
        done = subprocess.run(call, env=env, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stderr
        digests.add(done.stdout)
    assert len(digests) == 1
