"""Avro schemas as documents hold them: a name and a namespace, where the canonical form has a full name.

Both mean the same. The grammars of Avro schemas that the peers have take no name with a dot in it.
"""

from __future__ import annotations

from typing import Any

from meshport.schema.canonical import NAMED


def with_namespaces(form: Any, within: str = "") -> Any:
    """Return a schema whose named types have `name` and `namespace`.

    Args:
        form: in canonical form.
        within: the namespace of the type around it.
    """
    if isinstance(form, list):
        return [with_namespaces(each, within) for each in form]
    if not isinstance(form, dict):
        return form
    written = dict(form)
    if form["type"] in NAMED:
        namespace, _, name = form["name"].rpartition(".")
        written = {"type": form["type"], "name": name, "namespace": namespace} | {
            key: value for key, value in form.items() if key not in {"type", "name", "namespace"}
        }
        if "aliases" in form:
            written["aliases"] = [each.removeprefix(f"{namespace}.") for each in form["aliases"]]
        if not namespace and not within:
            del written["namespace"]
        within = namespace
    for key in ("items", "values"):
        if key in form:
            written[key] = with_namespaces(form[key], within)
    if "fields" in form:
        written["fields"] = [{**each, "type": with_namespaces(each["type"], within)} for each in form["fields"]]
    return written
