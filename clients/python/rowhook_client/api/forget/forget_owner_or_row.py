from http import HTTPStatus
from typing import Any

import httpx

from ...client import AuthenticatedClient, Client
from ...models.forget import Forget
from ...models.forgotten import Forgotten
from ...models.problem import Problem
from ...types import UNSET, Response, Unset


def _get_kwargs(
    *,
    body: Forget,
    idempotency_key: str | Unset = UNSET,
) -> dict[str, Any]:
    headers: dict[str, Any] = {}
    if not isinstance(idempotency_key, Unset):
        headers["Idempotency-Key"] = idempotency_key

    _kwargs: dict[str, Any] = {
        "method": "post",
        "url": "/api/forget",
    }

    _kwargs["json"] = body.to_dict()

    headers["Content-Type"] = "application/json"

    _kwargs["headers"] = headers
    return _kwargs


def _parse_response(
    *, client: AuthenticatedClient | Client, response: httpx.Response
) -> Forgotten | Problem:
    if response.status_code == 200:
        response_200 = Forgotten.from_dict(response.json())

        return response_200

    response_default = Problem.from_dict(response.json())

    return response_default


def _build_response(
    *, client: AuthenticatedClient | Client, response: httpx.Response
) -> Response[Forgotten | Problem]:
    return Response(
        status_code=HTTPStatus(response.status_code),
        content=response.content,
        headers=response.headers,
        parsed=_parse_response(client=client, response=response),
    )


def sync_detailed(
    *,
    client: AuthenticatedClient | Client,
    body: Forget,
    idempotency_key: str | Unset = UNSET,
) -> Response[Forgotten | Problem]:
    """Delete what rowhook's own tables have of an owner: hooks, deliveries, history, tokens and the rest.
    Or of a row: its
    history, and all but its key in what is parked or dead. The same is left of the owner's rows in what
    is parked for
    others.

     For operators alone. Needs the role all.

    Args:
        idempotency_key (str | Unset):
        body (Forget): What to forget: an owner or a row, one of the two.

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[Forgotten | Problem]
    """

    kwargs = _get_kwargs(
        body=body,
        idempotency_key=idempotency_key,
    )

    response = client.get_httpx_client().request(
        **kwargs,
    )

    return _build_response(client=client, response=response)


def sync(
    *,
    client: AuthenticatedClient | Client,
    body: Forget,
    idempotency_key: str | Unset = UNSET,
) -> Forgotten | Problem | None:
    """Delete what rowhook's own tables have of an owner: hooks, deliveries, history, tokens and the rest.
    Or of a row: its
    history, and all but its key in what is parked or dead. The same is left of the owner's rows in what
    is parked for
    others.

     For operators alone. Needs the role all.

    Args:
        idempotency_key (str | Unset):
        body (Forget): What to forget: an owner or a row, one of the two.

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Forgotten | Problem
    """

    return sync_detailed(
        client=client,
        body=body,
        idempotency_key=idempotency_key,
    ).parsed


async def asyncio_detailed(
    *,
    client: AuthenticatedClient | Client,
    body: Forget,
    idempotency_key: str | Unset = UNSET,
) -> Response[Forgotten | Problem]:
    """Delete what rowhook's own tables have of an owner: hooks, deliveries, history, tokens and the rest.
    Or of a row: its
    history, and all but its key in what is parked or dead. The same is left of the owner's rows in what
    is parked for
    others.

     For operators alone. Needs the role all.

    Args:
        idempotency_key (str | Unset):
        body (Forget): What to forget: an owner or a row, one of the two.

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[Forgotten | Problem]
    """

    kwargs = _get_kwargs(
        body=body,
        idempotency_key=idempotency_key,
    )

    response = await client.get_async_httpx_client().request(**kwargs)

    return _build_response(client=client, response=response)


async def asyncio(
    *,
    client: AuthenticatedClient | Client,
    body: Forget,
    idempotency_key: str | Unset = UNSET,
) -> Forgotten | Problem | None:
    """Delete what rowhook's own tables have of an owner: hooks, deliveries, history, tokens and the rest.
    Or of a row: its
    history, and all but its key in what is parked or dead. The same is left of the owner's rows in what
    is parked for
    others.

     For operators alone. Needs the role all.

    Args:
        idempotency_key (str | Unset):
        body (Forget): What to forget: an owner or a row, one of the two.

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Forgotten | Problem
    """

    return (
        await asyncio_detailed(
            client=client,
            body=body,
            idempotency_key=idempotency_key,
        )
    ).parsed
