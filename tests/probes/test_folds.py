"""Folds of a user's rows: disjoint, of equal size, and never within a group."""

import numpy as np
import pytest
import torch

from pidlab import InvalidRequest
from pidlab.probes.folds import contiguous_blocks, held_out_folds, make_folds


def parts(fold):
    return [set(rows.tolist()) for rows in (fold.train, fold.validation, fold.test)]


def test_random_folds_score_every_row_once():
    folds = make_folds(103, None, seed=0)
    scored = torch.cat([fold.test for fold in folds]).tolist()
    assert len(scored) == len(set(scored)) == 100
    for fold in folds:
        train, validation, test = parts(fold)
        assert not train & validation
        assert not (train | validation) & test


@pytest.mark.parametrize("sizes", [[3] * 40, [1, 2, 30, 5, 9] * 6])
def test_a_group_is_in_one_part_of_a_fold(sizes):
    groups = np.random.default_rng(0).permutation(np.repeat(np.arange(len(sizes)), sizes))
    for fold in [*make_folds(len(groups), groups, 1), *held_out_folds(len(groups), groups, 1)]:
        seen = [set(groups[list(part)]) for part in parts(fold)]
        assert len(set.union(*seen)) == sum(map(len, seen))
    folds = make_folds(len(groups), groups, 1)
    assert len({tuple(map(len, parts(fold))) for fold in folds}) == 1
    assert sum(len(fold.test) for fold in folds) > 0.8 * len(groups)


def test_blocks_are_contiguous():
    blocks = contiguous_blocks(1000)
    assert (np.diff(blocks) >= 0).all()
    assert np.bincount(blocks).tolist() == [100] * 10


def test_fewer_than_five_groups_are_refused():
    with pytest.raises(InvalidRequest, match="groups: there are 4; give at least 5"):
        make_folds(100, np.arange(100) % 4, 0)
