"""The list of faults fits the source and the tests as they are now."""

import ast
import functools
from collections import Counter
from pathlib import Path

import pytest

from tests.mutants.list import MUTANTS, Mutant
from tests.mutants.runner import ROOT, mutated

each = pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)


@functools.cache
def names_in(path: Path) -> frozenset[str]:
    return frozenset(
        node.name
        for node in ast.parse(path.read_text("utf-8")).body
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    )


@each
def test_its_place_is_found_exactly_once_and_the_fault_is_python(mutant: Mutant):
    """Else it would try nothing, or fail for another reason than its own."""
    source = (ROOT / "src" / "rerankd" / mutant.file).read_text("utf-8")
    changed = mutated(mutant, source)
    assert ast.dump(ast.parse(changed)) != ast.dump(ast.parse(source))


@each
def test_the_tests_that_have_to_notice_it_exist(mutant: Mutant):
    """A test that was renamed is named here as well."""
    assert mutant.tests
    for test in mutant.tests:
        file, _, name = test.partition("::")
        assert name in names_in(ROOT / file)


def test_no_two_faults_are_the_same_and_none_is_left_out():
    """At least twelve in the core, and some in whatever runs it."""
    assert not [name for name, count in Counter(mutant.name for mutant in MUTANTS).items() if count > 1]
    places = Counter((mutant.file, mutant.old, mutant.new) for mutant in MUTANTS)
    assert set(places.values()) == {1}
    parts = Counter(mutant.file.split("/")[0] for mutant in MUTANTS)
    assert parts["core"] >= 12
    assert min(parts["engine"], parts["serving.py"] + parts["reranker.py"]) >= 8


def test_a_place_that_is_not_found_or_found_twice_is_an_error():
    """Loudly: a fault that is not put in place would look as if nothing noticed it."""
    for source in ("", MUTANTS[0].old * 2):
        with pytest.raises(ValueError, match="instead of once"):
            mutated(MUTANTS[0], source)
