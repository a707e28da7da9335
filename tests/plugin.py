"""Information read off samples, with the error that it can have."""

import math

import numpy as np


def plug_in(x, y):
    """I(X;Y) of integer columns by relative frequencies, in bits, and a bound on its error.

    The bound is five standard errors of the mean log-ratio, and twice the bias
    (cells of x - 1)(cells of y - 1) / (2 N ln 2) (Miller 1955).
    """
    x, y = (np.unique(np.asarray(v), return_inverse=True)[1] for v in (x, y))
    n = len(y)
    joint = np.zeros((x.max() + 1, y.max() + 1))
    np.add.at(joint, (x, y), 1.0 / n)
    ratio = np.log2(joint / joint.sum(1, keepdims=True) / joint.sum(0), where=joint > 0, out=0 * joint)
    points = ratio[x, y]
    bias = (joint.shape[0] - 1) * (joint.shape[1] - 1) / (n * math.log(2.0))
    return points.mean(), 5.0 * points.std() / math.sqrt(n) + bias + 1e-12


def assert_holds(x, y, bits):
    """The samples agree with I(X;Y) = `bits`."""
    found, error = plug_in(x, y)
    assert abs(found - bits) <= error, f"{found:.5f} read, {bits:.5f} stated, error {error:.5f}"


def equal_bins(values, bins):
    """The bin of equal mass of every value, by rank."""
    return np.argsort(np.argsort(values)) * bins // len(values)
