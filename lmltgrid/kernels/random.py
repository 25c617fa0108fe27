"""Counter-based random numbers: the same for any chunk, thread, process or order of work.

The generator is Philox4x32-10 (Salmon, Moraes, Dror and Shaw 2011, "Parallel random numbers: as
easy as 1, 2, 3"): a bijection of a 128-bit counter under a 64-bit key, so that nothing is carried
from one number to the next but its place. Here a *stream* is one pseudo-experiment. Its key and two
words of its counter name the point that it is drawn at (128 bits), the third its number, and the
last counts the blocks that were taken.

All integers are 32-bit words in what numba takes for int64 and Python for int: a product is right
modulo 2^64 in both, and its halves are cut out by masks, so that compiled and plain code agree.
"""

from __future__ import annotations

from math import exp, floor, inf, isfinite, lgamma, log, log1p, nan, pi, sqrt
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lmltgrid.kernels.jit import kernel
from lmltgrid.kernels.normal import normal_quantile_of_log_p

Words = tuple[int, int, int, int]

_WORD: Final = 0xFFFFFFFF
_ROUNDS: Final = 10
# multipliers and Weyl constants of Philox4x32, Salmon et al. (2011), sec. 3.3 and table 2
_M0: Final = 0xD2511F53
_M1: Final = 0xCD9E8D57
_W0: Final = 0x9E3779B9
_W1: Final = 0xBB67AE85

INVERTED: Final = 10.0  # Poisson means below are inverted, larger ones drawn by rejection
MOST: Final = 128  # counts that a mean below that has, to the last digit of their sum
_SERIES: Final = 15.0  # from here on Stirling's series is good to 1e-15
_LOG_2PI: Final = log(2.0 * pi)


class Stream(NamedTuple):
    """The random numbers of one pseudo-experiment; made by `streams`, set by `begin`."""

    key: NDArray[np.int64]  # shape (2,)
    counter: NDArray[np.int64]  # shape (4,): block, number of the experiment, two of the point
    kept: NDArray[np.float64]  # shape (2,): the second number of a block, and whether it is left


@kernel
def philox(c0: int, c1: int, c2: int, c3: int, k0: int, k1: int) -> Words:
    """Return the four 32-bit words of a counter under a key, all words from 0 to 2^32 - 1."""
    for _ in range(_ROUNDS):
        first, second = _M0 * c0, _M1 * c2
        c0 = ((second >> 32) & _WORD) ^ c1 ^ k0
        c2 = ((first >> 32) & _WORD) ^ c3 ^ k1
        c1, c3 = second & _WORD, first & _WORD
        k0, k1 = (k0 + _W0) & _WORD, (k1 + _W1) & _WORD
    return c0, c1, c2, c3


@kernel
def streams(point: Any) -> Stream:
    """Return the streams of a point, of which four words are given, shape (4,)."""
    key, counter = np.empty(2, dtype=np.int64), np.zeros(4, dtype=np.int64)
    key[0], key[1], counter[2], counter[3] = point[0], point[1], point[2], point[3]
    return Stream(key, counter, np.zeros(2))


@kernel
def begin(stream: Stream, number: int) -> None:
    """Set a stream to the first random number of a pseudo-experiment."""
    stream.counter[0], stream.counter[1], stream.kept[1] = 0, number, 0.0


@kernel
def uniform(stream: Stream) -> float:
    """Return the next number, uniform in the open interval from 0 to 1, with 52 bits."""
    if stream.kept[1] > 0.0:
        stream.kept[1] = 0.0
        return float(stream.kept[0])
    c, k = stream.counter, stream.key
    w = philox(int(c[0]), int(c[1]), int(c[2]), int(c[3]), int(k[0]), int(k[1]))
    c[0] += 1
    stream.kept[0] = _fraction(w[2], w[3])
    stream.kept[1] = 1.0
    return _fraction(w[0], w[1])


@kernel
def _fraction(high: int, low: int) -> float:
    """Return 52 bits of two words as a number that is neither 0 nor 1."""
    return (float(high >> 6) * 67108864.0 + float(low >> 6) + 0.5) / 4503599627370496.0


@kernel
def normal(stream: Stream) -> float:
    """Return a standard normal number: the quantile of one uniform number."""
    return normal_quantile_of_log_p(log(uniform(stream)))


@kernel
def poisson(stream: Stream, mean: float) -> float:
    """Return a Poisson number of non-negative mean, as a float; NaN where that is not finite."""
    if not isfinite(mean):
        return nan
    if mean <= 0.0:
        return 0.0
    return _by_inversion(stream, mean) if mean < INVERTED else _by_rejection(stream, mean)


@kernel
def _by_inversion(stream: Stream, mean: float) -> float:
    """Return the count whose cumulative probability first exceeds one uniform number."""
    u, term, count = uniform(stream), exp(-mean), 0
    total = term
    while u > total:
        count += 1
        term *= mean / count
        if total + term == total:  # rounding has left the whole sum below u
            break
        total += term
    return float(count)


@kernel
def cumulate(mean: float, total: Any) -> int:
    """Write the cumulative probabilities of a mean below `INVERTED`; return how many.

    A count drawn from them by `place` is that of `poisson`, to the bit.

    Parameters
    ----------
    total : shape (MOST,)
    """
    term, count = exp(-mean), 0
    total[0] = term
    while True:
        count += 1
        term *= mean / count
        if total[count - 1] + term == total[count - 1]:
            return count
        total[count] = total[count - 1] + term


@kernel
def place(stream: Stream, total: Any, known: int) -> int:
    """Return a count from its cumulative probabilities, of which so many are known."""
    u, count = uniform(stream), 0
    while count < known and u > total[count]:
        count += 1
    return count


@kernel
def _by_rejection(stream: Stream, mean: float) -> float:
    """Return a Poisson number by transformed rejection, W. Hoermann (1993), algorithm PTRS."""
    root = sqrt(mean)
    b = 0.931 + 2.53 * root
    a = -0.059 + 0.02483 * b
    inverse_alpha = 1.1239 + 1.1328 / (b - 3.4)
    accepted = 0.9277 - 3.6224 / (b - 2.0)
    while True:
        u, v = uniform(stream) - 0.5, uniform(stream)
        away = 0.5 - abs(u)
        count = float(floor((2.0 * a / away + b) * u + mean + 0.43))
        if away >= 0.07 and v <= accepted:
            return count
        if count < 0.0 or (away < 0.013 and v > away):
            continue
        if log(v * inverse_alpha / (a / (away * away) + b)) <= log_poisson(count, mean):
            return count


@kernel
def log_poisson(count: float, mean: float) -> float:
    """Return the log probability of a whole count at a positive mean.

    C. Loader (2000), "Fast and accurate computation of binomial probabilities": the deviance apart
    from Stirling's series, so that no two large numbers are subtracted.
    """
    if count < 0.0:
        return -inf
    if count < _SERIES:
        return count * log(mean) - mean - lgamma(count + 1.0)
    off = (mean - count) / count
    half_deviance = count * (off - log1p(off))
    w = 1.0 / (count * count)
    series = (1.0 / 12.0 - w * (1.0 / 360.0 - w * (1.0 / 1260.0 - w / 1680.0))) / count
    return -half_deviance - series - 0.5 * (_LOG_2PI + log(count))
