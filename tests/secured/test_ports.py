"""A part of the suites of ports, replays, apply and rebuilds, on a broker with TLS, SCRAM and ACLs.

`MESHPORT_TEST_SECURED=1` runs the whole suites on such a broker.
"""

from tests.ports.test_batches import test_batches_hold_the_events_that_come_one_by_one
from tests.ports.test_publish import (
    test_an_event_is_a_cloudevent_in_binary_mode,
    test_flush_counts_what_was_stored_since,
)
from tests.ports.test_publish_columns import test_a_report_of_rows_adds_up
from tests.ports.test_replay import test_a_replay_by_offset, test_a_replay_by_time_goes_by_when_facts_happened
from tests.ports.test_subscribe import test_a_group_keeps_its_place, test_events_of_a_key_come_in_order
from tests.project.test_apply import (
    declared,
    test_settings_that_drifted_are_set_again,
    test_what_was_planned_is_done_once,
)
from tests.rebuild.test_rebuild import shop, test_a_rebuild_equals_the_live_generation

__all__ = [  # pytest finds them by their names here
    "declared",
    "shop",
    "test_a_group_keeps_its_place",
    "test_a_rebuild_equals_the_live_generation",
    "test_a_replay_by_offset",
    "test_a_replay_by_time_goes_by_when_facts_happened",
    "test_a_report_of_rows_adds_up",
    "test_an_event_is_a_cloudevent_in_binary_mode",
    "test_batches_hold_the_events_that_come_one_by_one",
    "test_events_of_a_key_come_in_order",
    "test_flush_counts_what_was_stored_since",
    "test_settings_that_drifted_are_set_again",
    "test_what_was_planned_is_done_once",
]
