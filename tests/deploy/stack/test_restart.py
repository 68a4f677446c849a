"""What happens to a stack in its life."""

import pytest

from tests.deploy.stack.deployed import Deployed, first_answer_s, memory_mb

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1500)]


def test_the_stack_survives_a_restart(stack: Deployed) -> None:
    """Down and up again: the same lists from the same release, without a load."""
    before = stack.lists()
    memory = memory_mb(stack)
    print(f"memory at rest: {sum(memory.values()):.0f} MB in {len(memory)} containers: {memory}")
    print(f"from `up` to the first list: {first_answer_s(stack):.0f} s")
    stack.wait_personal()
    assert stack.lists() == before
