from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self, TypeVar, cast

from attrs import define as _attrs_define

from ..types import UNSET, Unset

T = TypeVar("T", bound="NewBackfill")


@_attrs_define
class NewBackfill:
    """A backfill that is to be started.

    Attributes:
        event (str): The event that the rows are sent as. Its source has to be a table, with the action created or
            updated.
        hook (str): The hook that gets them. It has to be subscribed to the event, and its owner and filter apply.
        rate (int | None | Unset): The most rows to send a second; 1000 if left out.
        since (None | str | Unset): Only rows committed since this time are sent. Needs track_commit_timestamp.
        where (None | str | Unset): A condition in SQL over the table's columns. Only rows for which it is true are
            sent.
    """

    event: str
    hook: str
    rate: int | None | Unset = UNSET
    since: None | str | Unset = UNSET
    where: None | str | Unset = UNSET

    def to_dict(self) -> dict[str, Any]:
        event = self.event

        hook = self.hook

        rate: int | None | Unset
        if isinstance(self.rate, Unset):
            rate = UNSET
        else:
            rate = self.rate

        since: None | str | Unset
        if isinstance(self.since, Unset):
            since = UNSET
        else:
            since = self.since

        where: None | str | Unset
        if isinstance(self.where, Unset):
            where = UNSET
        else:
            where = self.where

        field_dict: dict[str, Any] = {}

        field_dict.update(
            {
                "event": event,
                "hook": hook,
            }
        )
        if rate is not UNSET:
            field_dict["rate"] = rate
        if since is not UNSET:
            field_dict["since"] = since
        if where is not UNSET:
            field_dict["where"] = where

        return field_dict

    @classmethod
    def from_dict(cls, src_dict: Mapping[str, Any]) -> Self:
        d = dict(src_dict)
        event = d.pop("event")

        hook = d.pop("hook")

        def _parse_rate(data: object) -> int | None | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(int | None | Unset, data)

        rate = _parse_rate(d.pop("rate", UNSET))

        def _parse_since(data: object) -> None | str | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(None | str | Unset, data)

        since = _parse_since(d.pop("since", UNSET))

        def _parse_where(data: object) -> None | str | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(None | str | Unset, data)

        where = _parse_where(d.pop("where", UNSET))

        new_backfill = cls(
            event=event,
            hook=hook,
            rate=rate,
            since=since,
            where=where,
        )

        return new_backfill
