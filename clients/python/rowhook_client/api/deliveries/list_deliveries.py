from http import HTTPStatus
from typing import Any

import httpx

from ...client import AuthenticatedClient, Client
from ...models.delivery_page import DeliveryPage
from ...models.delivery_state import DeliveryState
from ...models.problem import Problem
from ...types import UNSET, Response, Unset


def _get_kwargs(
    *,
    hook: str | Unset = UNSET,
    state: DeliveryState | Unset = UNSET,
    event: str | Unset = UNSET,
    id: str | Unset = UNSET,
    since: str | Unset = UNSET,
    until: str | Unset = UNSET,
    table: str | Unset = UNSET,
    key: str | Unset = UNSET,
    cursor: str | Unset = UNSET,
    limit: int | Unset = UNSET,
) -> dict[str, Any]:

    params: dict[str, Any] = {}

    params["hook"] = hook

    json_state: str | Unset = UNSET
    if not isinstance(state, Unset):
        json_state = state.value

    params["state"] = json_state

    params["event"] = event

    params["id"] = id

    params["since"] = since

    params["until"] = until

    params["table"] = table

    params["key"] = key

    params["cursor"] = cursor

    params["limit"] = limit

    params = {k: v for k, v in params.items() if v is not UNSET and v is not None}

    _kwargs: dict[str, Any] = {
        "method": "get",
        "url": "/api/deliveries",
        "params": params,
    }

    return _kwargs


def _parse_response(
    *, client: AuthenticatedClient | Client, response: httpx.Response
) -> DeliveryPage | Problem:
    if response.status_code == 200:
        response_200 = DeliveryPage.from_dict(response.json())

        return response_200

    response_default = Problem.from_dict(response.json())

    return response_default


def _build_response(
    *, client: AuthenticatedClient | Client, response: httpx.Response
) -> Response[DeliveryPage | Problem]:
    return Response(
        status_code=HTTPStatus(response.status_code),
        content=response.content,
        headers=response.headers,
        parsed=_parse_response(client=client, response=response),
    )


def sync_detailed(
    *,
    client: AuthenticatedClient | Client,
    hook: str | Unset = UNSET,
    state: DeliveryState | Unset = UNSET,
    event: str | Unset = UNSET,
    id: str | Unset = UNSET,
    since: str | Unset = UNSET,
    until: str | Unset = UNSET,
    table: str | Unset = UNSET,
    key: str | Unset = UNSET,
    cursor: str | Unset = UNSET,
    limit: int | Unset = UNSET,
) -> Response[DeliveryPage | Problem]:
    """List deliveries, newest first: parked and dead ones and, as far as history goes back, delivered
    ones. Where those of
    an event, a row or an owner are wanted, a page looks at 100,000 of each kind: it may have few
    entries or none and
    still a next one.

     Needs the role read of operators, or the scope read of owners.

    Args:
        hook (str | Unset):
        state (DeliveryState | Unset): What has become of a delivery.
        event (str | Unset):
        id (str | Unset):
        since (str | Unset):
        until (str | Unset):
        table (str | Unset):
        key (str | Unset):
        cursor (str | Unset):
        limit (int | Unset):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[DeliveryPage | Problem]
    """

    kwargs = _get_kwargs(
        hook=hook,
        state=state,
        event=event,
        id=id,
        since=since,
        until=until,
        table=table,
        key=key,
        cursor=cursor,
        limit=limit,
    )

    response = client.get_httpx_client().request(
        **kwargs,
    )

    return _build_response(client=client, response=response)


def sync(
    *,
    client: AuthenticatedClient | Client,
    hook: str | Unset = UNSET,
    state: DeliveryState | Unset = UNSET,
    event: str | Unset = UNSET,
    id: str | Unset = UNSET,
    since: str | Unset = UNSET,
    until: str | Unset = UNSET,
    table: str | Unset = UNSET,
    key: str | Unset = UNSET,
    cursor: str | Unset = UNSET,
    limit: int | Unset = UNSET,
) -> DeliveryPage | Problem | None:
    """List deliveries, newest first: parked and dead ones and, as far as history goes back, delivered
    ones. Where those of
    an event, a row or an owner are wanted, a page looks at 100,000 of each kind: it may have few
    entries or none and
    still a next one.

     Needs the role read of operators, or the scope read of owners.

    Args:
        hook (str | Unset):
        state (DeliveryState | Unset): What has become of a delivery.
        event (str | Unset):
        id (str | Unset):
        since (str | Unset):
        until (str | Unset):
        table (str | Unset):
        key (str | Unset):
        cursor (str | Unset):
        limit (int | Unset):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        DeliveryPage | Problem
    """

    return sync_detailed(
        client=client,
        hook=hook,
        state=state,
        event=event,
        id=id,
        since=since,
        until=until,
        table=table,
        key=key,
        cursor=cursor,
        limit=limit,
    ).parsed


async def asyncio_detailed(
    *,
    client: AuthenticatedClient | Client,
    hook: str | Unset = UNSET,
    state: DeliveryState | Unset = UNSET,
    event: str | Unset = UNSET,
    id: str | Unset = UNSET,
    since: str | Unset = UNSET,
    until: str | Unset = UNSET,
    table: str | Unset = UNSET,
    key: str | Unset = UNSET,
    cursor: str | Unset = UNSET,
    limit: int | Unset = UNSET,
) -> Response[DeliveryPage | Problem]:
    """List deliveries, newest first: parked and dead ones and, as far as history goes back, delivered
    ones. Where those of
    an event, a row or an owner are wanted, a page looks at 100,000 of each kind: it may have few
    entries or none and
    still a next one.

     Needs the role read of operators, or the scope read of owners.

    Args:
        hook (str | Unset):
        state (DeliveryState | Unset): What has become of a delivery.
        event (str | Unset):
        id (str | Unset):
        since (str | Unset):
        until (str | Unset):
        table (str | Unset):
        key (str | Unset):
        cursor (str | Unset):
        limit (int | Unset):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[DeliveryPage | Problem]
    """

    kwargs = _get_kwargs(
        hook=hook,
        state=state,
        event=event,
        id=id,
        since=since,
        until=until,
        table=table,
        key=key,
        cursor=cursor,
        limit=limit,
    )

    response = await client.get_async_httpx_client().request(**kwargs)

    return _build_response(client=client, response=response)


async def asyncio(
    *,
    client: AuthenticatedClient | Client,
    hook: str | Unset = UNSET,
    state: DeliveryState | Unset = UNSET,
    event: str | Unset = UNSET,
    id: str | Unset = UNSET,
    since: str | Unset = UNSET,
    until: str | Unset = UNSET,
    table: str | Unset = UNSET,
    key: str | Unset = UNSET,
    cursor: str | Unset = UNSET,
    limit: int | Unset = UNSET,
) -> DeliveryPage | Problem | None:
    """List deliveries, newest first: parked and dead ones and, as far as history goes back, delivered
    ones. Where those of
    an event, a row or an owner are wanted, a page looks at 100,000 of each kind: it may have few
    entries or none and
    still a next one.

     Needs the role read of operators, or the scope read of owners.

    Args:
        hook (str | Unset):
        state (DeliveryState | Unset): What has become of a delivery.
        event (str | Unset):
        id (str | Unset):
        since (str | Unset):
        until (str | Unset):
        table (str | Unset):
        key (str | Unset):
        cursor (str | Unset):
        limit (int | Unset):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        DeliveryPage | Problem
    """

    return (
        await asyncio_detailed(
            client=client,
            hook=hook,
            state=state,
            event=event,
            id=id,
            since=since,
            until=until,
            table=table,
            key=key,
            cursor=cursor,
            limit=limit,
        )
    ).parsed
