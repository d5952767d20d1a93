from http import HTTPStatus
from typing import Any

import httpx

from ...client import AuthenticatedClient, Client
from ...models.backfill import Backfill
from ...models.list_backfills_state import ListBackfillsState
from ...models.problem import Problem
from ...types import UNSET, Response, Unset


def _get_kwargs(
    *,
    state: ListBackfillsState | Unset = UNSET,
    event: str | Unset = UNSET,
    table: str | Unset = UNSET,
    hook: str | Unset = UNSET,
    owner: str | Unset = UNSET,
    since: str | Unset = UNSET,
    until: str | Unset = UNSET,
) -> dict[str, Any]:

    params: dict[str, Any] = {}

    json_state: str | Unset = UNSET
    if not isinstance(state, Unset):
        json_state = state.value

    params["state"] = json_state

    params["event"] = event

    params["table"] = table

    params["hook"] = hook

    params["owner"] = owner

    params["since"] = since

    params["until"] = until

    params = {k: v for k, v in params.items() if v is not UNSET and v is not None}

    _kwargs: dict[str, Any] = {
        "method": "get",
        "url": "/api/backfills",
        "params": params,
    }

    return _kwargs


def _parse_response(
    *, client: AuthenticatedClient | Client, response: httpx.Response
) -> Problem | list[Backfill]:
    if response.status_code == 200:
        response_200 = []
        _response_200 = response.json()
        for response_200_item_data in _response_200:
            response_200_item = Backfill.from_dict(response_200_item_data)

            response_200.append(response_200_item)

        return response_200

    response_default = Problem.from_dict(response.json())

    return response_default


def _build_response(
    *, client: AuthenticatedClient | Client, response: httpx.Response
) -> Response[Problem | list[Backfill]]:
    return Response(
        status_code=HTTPStatus(response.status_code),
        content=response.content,
        headers=response.headers,
        parsed=_parse_response(client=client, response=response),
    )


def sync_detailed(
    *,
    client: AuthenticatedClient | Client,
    state: ListBackfillsState | Unset = UNSET,
    event: str | Unset = UNSET,
    table: str | Unset = UNSET,
    hook: str | Unset = UNSET,
    owner: str | Unset = UNSET,
    since: str | Unset = UNSET,
    until: str | Unset = UNSET,
) -> Response[Problem | list[Backfill]]:
    """List backfills, the newest first.

     There are 100 at most; `until` with the `created_at` of the last one lists earlier ones.

    For operators alone. Needs the role read.

    Args:
        state (ListBackfillsState | Unset): The state of a backfill, in a word.
        event (str | Unset):
        table (str | Unset):
        hook (str | Unset):
        owner (str | Unset):
        since (str | Unset):
        until (str | Unset):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[Problem | list[Backfill]]
    """

    kwargs = _get_kwargs(
        state=state,
        event=event,
        table=table,
        hook=hook,
        owner=owner,
        since=since,
        until=until,
    )

    response = client.get_httpx_client().request(
        **kwargs,
    )

    return _build_response(client=client, response=response)


def sync(
    *,
    client: AuthenticatedClient | Client,
    state: ListBackfillsState | Unset = UNSET,
    event: str | Unset = UNSET,
    table: str | Unset = UNSET,
    hook: str | Unset = UNSET,
    owner: str | Unset = UNSET,
    since: str | Unset = UNSET,
    until: str | Unset = UNSET,
) -> Problem | list[Backfill] | None:
    """List backfills, the newest first.

     There are 100 at most; `until` with the `created_at` of the last one lists earlier ones.

    For operators alone. Needs the role read.

    Args:
        state (ListBackfillsState | Unset): The state of a backfill, in a word.
        event (str | Unset):
        table (str | Unset):
        hook (str | Unset):
        owner (str | Unset):
        since (str | Unset):
        until (str | Unset):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Problem | list[Backfill]
    """

    return sync_detailed(
        client=client,
        state=state,
        event=event,
        table=table,
        hook=hook,
        owner=owner,
        since=since,
        until=until,
    ).parsed


async def asyncio_detailed(
    *,
    client: AuthenticatedClient | Client,
    state: ListBackfillsState | Unset = UNSET,
    event: str | Unset = UNSET,
    table: str | Unset = UNSET,
    hook: str | Unset = UNSET,
    owner: str | Unset = UNSET,
    since: str | Unset = UNSET,
    until: str | Unset = UNSET,
) -> Response[Problem | list[Backfill]]:
    """List backfills, the newest first.

     There are 100 at most; `until` with the `created_at` of the last one lists earlier ones.

    For operators alone. Needs the role read.

    Args:
        state (ListBackfillsState | Unset): The state of a backfill, in a word.
        event (str | Unset):
        table (str | Unset):
        hook (str | Unset):
        owner (str | Unset):
        since (str | Unset):
        until (str | Unset):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[Problem | list[Backfill]]
    """

    kwargs = _get_kwargs(
        state=state,
        event=event,
        table=table,
        hook=hook,
        owner=owner,
        since=since,
        until=until,
    )

    response = await client.get_async_httpx_client().request(**kwargs)

    return _build_response(client=client, response=response)


async def asyncio(
    *,
    client: AuthenticatedClient | Client,
    state: ListBackfillsState | Unset = UNSET,
    event: str | Unset = UNSET,
    table: str | Unset = UNSET,
    hook: str | Unset = UNSET,
    owner: str | Unset = UNSET,
    since: str | Unset = UNSET,
    until: str | Unset = UNSET,
) -> Problem | list[Backfill] | None:
    """List backfills, the newest first.

     There are 100 at most; `until` with the `created_at` of the last one lists earlier ones.

    For operators alone. Needs the role read.

    Args:
        state (ListBackfillsState | Unset): The state of a backfill, in a word.
        event (str | Unset):
        table (str | Unset):
        hook (str | Unset):
        owner (str | Unset):
        since (str | Unset):
        until (str | Unset):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Problem | list[Backfill]
    """

    return (
        await asyncio_detailed(
            client=client,
            state=state,
            event=event,
            table=table,
            hook=hook,
            owner=owner,
            since=since,
            until=until,
        )
    ).parsed
