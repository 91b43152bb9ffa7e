"""The log that an address is bound to; a reader that would begin in another one is refused.

Kafka deletes the offsets of a group together with the topic, and a replay, a reader without a group or a processor that starts
for the first time has none. What they know of the log is the binding alone, which names the topic's id (KIP-516).
"""

from __future__ import annotations

from meshport.binding import Binding
from meshport.kafka.topic_log import topic_remade


def apply_hint(binding: Binding) -> str:
    """Return the hint for an address whose topic was made again."""
    return f"`meshport apply`, in the project of {binding.address.of_product.key}, binds the present topic"


def refuse_other_log(binding: Binding, found_id: str | None, *, group: str | None = None) -> None:
    """Refuse to begin in another log than the one that the address is bound to.

    Args:
        binding: of the address.
        found_id: the id of the present topic; None where there is no such topic, or the cluster gives no ids.
        group: the consumer group of the reader, if it has one.

    Raises:
        TopicRemade: the topic has another id than the binding names.
    """
    if None in (binding.topic_id, found_id) or found_id == binding.topic_id:
        return
    raise topic_remade(
        binding.topic,
        (binding.topic_id, found_id),
        f"{binding.address} is bound to the earlier one, of which this one holds no event",
        hint=f"{apply_hint(binding)}, in which all readers begin anew; one that begins at the latest passes over what it holds "
        "by then",
        group=group,
    )
