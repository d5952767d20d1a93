from http import HTTPStatus
from typing import Any
from urllib.parse import quote

import httpx

from ...client import AuthenticatedClient, Client
from ...models.any_object import AnyObject
from ...models.asked import Asked
from ...models.problem import Problem
from ...types import UNSET, Response, Unset


def _get_kwargs(
    event: str,
    *,
    body: AnyObject | None | Unset = UNSET,
    idempotency_key: str | Unset = UNSET,
) -> dict[str, Any]:
    headers: dict[str, Any] = {}
    if not isinstance(idempotency_key, Unset):
        headers["Idempotency-Key"] = idempotency_key

    _kwargs: dict[str, Any] = {
        "method": "post",
        "url": "/api/ask/{event}".format(
            event=quote(str(event), safe=""),
        ),
    }

    if isinstance(body, AnyObject):
        _kwargs["json"] = body.to_dict()
    else:
        _kwargs["json"] = body

    headers["Content-Type"] = "application/json"

    _kwargs["headers"] = headers
    return _kwargs


def _parse_response(
    *, client: AuthenticatedClient | Client, response: httpx.Response
) -> Asked | Problem:
    if response.status_code == 200:
        response_200 = Asked.from_dict(response.json())

        return response_200

    response_default = Problem.from_dict(response.json())

    return response_default


def _build_response(
    *, client: AuthenticatedClient | Client, response: httpx.Response
) -> Response[Asked | Problem]:
    return Response(
        status_code=HTTPStatus(response.status_code),
        content=response.content,
        headers=response.headers,
        parsed=_parse_response(client=client, response=response),
    )


def sync_detailed(
    event: str,
    *,
    client: AuthenticatedClient | Client,
    body: AnyObject | None | Unset = UNSET,
    idempotency_key: str | Unset = UNSET,
) -> Response[Asked | Problem]:
    """Ask the hooks of an event with `before = "custom"`, and wait for what they say. The body is the
    payload.

     For operators alone. Needs the role support.

    Args:
        event (str):
        idempotency_key (str | Unset):
        body (AnyObject | None | Unset):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[Asked | Problem]
    """

    kwargs = _get_kwargs(
        event=event,
        body=body,
        idempotency_key=idempotency_key,
    )

    response = client.get_httpx_client().request(
        **kwargs,
    )

    return _build_response(client=client, response=response)


def sync(
    event: str,
    *,
    client: AuthenticatedClient | Client,
    body: AnyObject | None | Unset = UNSET,
    idempotency_key: str | Unset = UNSET,
) -> Asked | Problem | None:
    """Ask the hooks of an event with `before = "custom"`, and wait for what they say. The body is the
    payload.

     For operators alone. Needs the role support.

    Args:
        event (str):
        idempotency_key (str | Unset):
        body (AnyObject | None | Unset):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Asked | Problem
    """

    return sync_detailed(
        event=event,
        client=client,
        body=body,
        idempotency_key=idempotency_key,
    ).parsed


async def asyncio_detailed(
    event: str,
    *,
    client: AuthenticatedClient | Client,
    body: AnyObject | None | Unset = UNSET,
    idempotency_key: str | Unset = UNSET,
) -> Response[Asked | Problem]:
    """Ask the hooks of an event with `before = "custom"`, and wait for what they say. The body is the
    payload.

     For operators alone. Needs the role support.

    Args:
        event (str):
        idempotency_key (str | Unset):
        body (AnyObject | None | Unset):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[Asked | Problem]
    """

    kwargs = _get_kwargs(
        event=event,
        body=body,
        idempotency_key=idempotency_key,
    )

    response = await client.get_async_httpx_client().request(**kwargs)

    return _build_response(client=client, response=response)


async def asyncio(
    event: str,
    *,
    client: AuthenticatedClient | Client,
    body: AnyObject | None | Unset = UNSET,
    idempotency_key: str | Unset = UNSET,
) -> Asked | Problem | None:
    """Ask the hooks of an event with `before = "custom"`, and wait for what they say. The body is the
    payload.

     For operators alone. Needs the role support.

    Args:
        event (str):
        idempotency_key (str | Unset):
        body (AnyObject | None | Unset):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Asked | Problem
    """

    return (
        await asyncio_detailed(
            event=event,
            client=client,
            body=body,
            idempotency_key=idempotency_key,
        )
    ).parsed
