"""Contains all the data models used in inputs/outputs"""

from .any_object import AnyObject
from .asked import Asked
from .attempt import Attempt
from .audit_actor import AuditActor
from .audit_entry import AuditEntry
from .audit_entry_page import AuditEntryPage
from .backfill import Backfill
from .content import Content
from .delivery import Delivery
from .delivery_counts import DeliveryCounts
from .delivery_detail import DeliveryDetail
from .delivery_page import DeliveryPage
from .delivery_state import DeliveryState
from .disabling import Disabling
from .event_detail import EventDetail
from .event_detail_payloads import EventDetailPayloads
from .event_info import EventInfo
from .event_payload import EventPayload
from .forget import Forget
from .forgotten import Forgotten
from .held_status import HeldStatus
from .hook import Hook
from .hook_change import HookChange
from .hook_counts import HookCounts
from .hook_page import HookPage
from .hook_with_secret import HookWithSecret
from .issued_token import IssuedToken
from .last_answer import LastAnswer
from .list_backfills_state import ListBackfillsState
from .list_hooks_state import ListHooksState
from .new_backfill import NewBackfill
from .new_hook import NewHook
from .new_portal_link import NewPortalLink
from .new_token import NewToken
from .portal_link import PortalLink
from .problem import Problem
from .replay import Replay
from .replay_counts import ReplayCounts
from .retried import Retried
from .retry_dead import RetryDead
from .retry_many import RetryMany
from .row_key import RowKey
from .slot_status import SlotStatus
from .status import Status
from .string_map import StringMap
from .test_result import TestResult
from .token import Token
from .waits_for import WaitsFor

__all__ = (
    "AnyObject",
    "Asked",
    "Attempt",
    "AuditActor",
    "AuditEntry",
    "AuditEntryPage",
    "Backfill",
    "Content",
    "Delivery",
    "DeliveryCounts",
    "DeliveryDetail",
    "DeliveryPage",
    "DeliveryState",
    "Disabling",
    "EventDetail",
    "EventDetailPayloads",
    "EventInfo",
    "EventPayload",
    "Forget",
    "Forgotten",
    "HeldStatus",
    "Hook",
    "HookChange",
    "HookCounts",
    "HookPage",
    "HookWithSecret",
    "IssuedToken",
    "LastAnswer",
    "ListBackfillsState",
    "ListHooksState",
    "NewBackfill",
    "NewHook",
    "NewPortalLink",
    "NewToken",
    "PortalLink",
    "Problem",
    "Replay",
    "ReplayCounts",
    "Retried",
    "RetryDead",
    "RetryMany",
    "RowKey",
    "SlotStatus",
    "Status",
    "StringMap",
    "TestResult",
    "Token",
    "WaitsFor",
)
