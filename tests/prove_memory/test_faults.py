"""The list of faults fits the source and the tests as they are now."""

import pytest

from tests.mutants.list import Mutant
from tests.mutants.runner import ROOT, mutated
from tests.mutants.test_list import names_in
from tests.prove_memory.faults import FAULTS

each = pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)


@each
def test_its_place_is_found_exactly_once_and_its_tests_exist(fault: Mutant) -> None:
    """Else it would try nothing."""
    source = (ROOT / "src" / "rerankd" / fault.file).read_text("utf-8")
    assert mutated(fault, source) != source
    assert fault.tests
    for test in fault.tests:
        file, _, name = test.partition("::")
        assert name in names_in(ROOT / file)


def test_no_two_faults_are_the_same() -> None:
    assert len({fault.name for fault in FAULTS}) == len(FAULTS) >= 8
