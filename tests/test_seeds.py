from pidlab.seeds import child


def test_children_differ_by_name_number_and_seed():
    children = [
        child(0, "data", 0),
        child(0, "data", 1),
        child(0, "views", 0),
        child(1, "data", 0),
        child(0, "data"),
    ]
    assert len(set(children)) == len(children)


def test_children_do_not_depend_on_each_other():
    # pinned: every stored result rests on these
    assert child(0, "data", 0) == child(0, "data", 0)
    assert 0 <= child(3, "weights") < 2**63
