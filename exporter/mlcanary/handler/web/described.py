"""Route tables as OpenAPI: paths and schemas from the rows that the router was made of. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable
from http import HTTPStatus
from typing import Any

import msgspec

from mlcanary.handler.web.answers import ErrorAnswer
from mlcanary.handler.web.routing import HTML, JSON, TEXT, Query, Route
from mlcanary.webserver.identity import Scope

_REFERENCE = "#/components/schemas/{name}"
_PARAMETER = re.compile(r"\{(\w+)\}")
_FORM = "application/x-www-form-urlencoded"
Document = dict[str, Any]


def described(routes: Iterable[Route[Any]]) -> tuple[Document, Document]:
    """`paths` and `components.schemas` of the rows."""
    rows = list(routes)
    types = list(dict.fromkeys([ErrorAnswer, *(t for row in rows for t in (row.answer, row.request) if t is not None)]))
    found, schemas = msgspec.json.schema_components(types, ref_template=_REFERENCE)
    by_type = dict(zip(types, found, strict=True))
    paths: Document = {}
    for row in rows:
        paths.setdefault(row.path, {})[row.method.lower()] = _operation(row, by_type)
    return paths, dict(schemas)


def _operation(row: Route[Any], schemas: dict[type, Document]) -> Document:
    operation: Document = {"summary": row.summary, "x-scope": str(row.scope)}
    names = _PARAMETER.findall(row.path)
    parameters = [{"name": n, "in": "path", "required": True, "schema": {"type": "string"}} for n in names]
    parameters += [_query(query) for query in row.query]
    if parameters:
        operation["parameters"] = parameters
    if row.request is not None:
        body = {"required": True, "content": {JSON: {"schema": schemas[row.request]}}}
        operation["requestBody"] = body
    elif row.media == HTML and row.method == "POST":
        operation["requestBody"] = {"content": {_FORM: {"schema": {"type": "object"}}}}
    operation["responses"] = _answers(row, schemas, bool(names))
    return operation


def _query(query: Query) -> Document:
    schema: Document = {"type": "string"}
    if query.choices:
        schema["enum"] = [str(choice) for choice in query.choices]
    return {
        "name": query.name,
        "in": "query",
        "required": query.required,
        "description": query.about,
        "schema": schema,
    }


def _answers(row: Route[Any], schemas: dict[type, Document], named: bool) -> Document:
    error = {"schema": schemas[ErrorAnswer]}
    refused = {"content": {JSON: error, **({HTML: {}} if row.media == HTML else {})}}
    # The router and the guard answer in plain text: a path of no route, no credentials, a body that is late or large.
    plain = {"content": {TEXT: {}, **refused["content"]}}
    statuses = {403, 429, 503, *row.refusals}
    told = dict.fromkeys(statuses, refused)
    late = () if row.method == "GET" else (408, 413)
    told |= dict.fromkeys((401, *late, *((404, 405) if named else ())), plain)
    if row.scope is Scope.READ and row.media == TEXT:
        told[403] = plain  # a gate that is closed
    content = {row.media: {"schema": schemas[row.answer]} if row.answer is not None else {}}
    done: Document = {"content": content} if row.status < 300 else {}
    every = {row.status: done, **told}
    return {str(s): {"description": HTTPStatus(s).phrase, **every[s]} for s in sorted(every)}
