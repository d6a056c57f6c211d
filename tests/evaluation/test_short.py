"""A short name leaves out owners and no model."""

from rerankd.evaluation.short import short


def test_owners_are_left_out_and_of_a_cascade_no_model_is() -> None:
    assert short("cross-encoder/large") == "large"
    assert short("mine+cross-encoder/large") == "mine+large"
    assert short("a/small+b/large at depth 24") == "small+large at depth 24"
    assert short("folder") == "folder"
