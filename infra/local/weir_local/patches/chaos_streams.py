"""A DynamoDB stream delivers records again that it has delivered, as often as ``weir_local.chaos`` says.

Not a correction: see ``chaos_endpoint``. AWS delivers at least once; what comes again need not be cut into the same batches.
"""

from ministack.services import dynamodb

from weir_local.chaos import CHAOS
from weir_local.patches import stream_event_source
from weir_local.patching import wrap

#: How many records before a batch may come again with it.
_REACH = 40
#: The last records that were delivered, by event source mapping.
_delivered: dict[str, list[dict]] = {}


def _number(record: dict) -> int:
    return int(record["dynamodb"]["SequenceNumber"])


def _again(records: list[dict]) -> list[stream_event_source._Slice]:
    """The records in one or two pieces."""
    cut = int(CHAOS.between(0, len(records)))
    return [stream_event_source._Slice(part) for part in (records[:cut], records[cut:]) if part]


def apply() -> None:
    """Put back what was delivered, some of the time; keep records for as long as wanted."""

    @wrap(dynamodb, "_trim_stream_records")
    def trim(original, *args, **kwargs):
        dynamodb._STREAM_RETENTION_SECONDS = CHAOS.settings.stream_retention_s
        original(*args, **kwargs)

    @wrap(stream_event_source, "_settle")
    def settle(original, mapping, function, delivery, result):
        records = delivery.slices[0].records
        left = len(delivery.slices)
        original(mapping, function, delivery, result)
        if len(delivery.slices) >= left:
            return
        before = _delivered.get(mapping["UUID"], [])
        if CHAOS.happens("redelivered", CHAOS.settings.redelivered):
            back = int(CHAOS.between(0, len(before) + 1))
            again = [*before[len(before) - back :], *records]
            CHAOS.count("redelivered_records", len(again))
            delivery.slices[:0] = _again(again)
        latest = _number(before[-1]) if before else 0
        _delivered[mapping["UUID"]] = [*before, *(record for record in records if _number(record) > latest)][-_REACH:]
