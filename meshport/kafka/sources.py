"""The sources of a connection's properties: a file, the environment, a table of clusters, an argument.

Each is read to a `Layer`. Of layers, a later one wins, property by property.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

from pydantic import SecretStr

from meshport.errors import KafkaConfigError
from meshport.kafka.config import KafkaConfig, is_secret
from meshport.kafka.java_properties import JAVA_PROPERTIES, translated
from meshport.kafka.properties import (
    OBJECTS,
    PROPERTIES,
    REPLICAS,
    SERVERS,
    TOKEN_FUNCTION,
    canonical,
    check_property,
    unknown_property,
)
from meshport.kafka.properties_file import read_properties
from meshport.kafka.secret_references import dereferenced, has_reference
from meshport.kafka.setting import Setting
from meshport.kafka.token_function import token_function

__all__ = ["CONFIG_VARIABLE", "Layer", "environment_layer", "file_layer", "kafka_config", "server_layer", "table_layer"]

_PREFIX: Final = "MESHPORT_KAFKA_"
CONFIG_VARIABLE: Final = f"{_PREFIX}CONFIG"
"""The variable that names a `client.properties`."""

_PATHS: Final = frozenset(
    {
        "sasl.kerberos.keytab",
        "sasl.oauthbearer.assertion.file",
        "sasl.oauthbearer.assertion.jwt.template.file",
        "sasl.oauthbearer.assertion.private.key.file",
        "sasl.oauthbearer.assertion.template.file",
        "ssl.ca.location",
        "ssl.certificate.location",
        "ssl.crl.location",
        "ssl.key.location",
        "ssl.keystore.location",
        "ssl.truststore.location",
    }
)
_MECHANISMS: Final = ("GSSAPI", "PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER")
_HOST_NAME_CHECK: Final = "ssl.endpoint.identification.algorithm"  # Java's client does not check where it is empty
_PROTOCOL: Final = "security.protocol"
_log: Final = logging.getLogger(__name__)

Layer = Mapping[str, Setting]
"""What one source says, by librdkafka's first name of each property."""


def file_layer(file: Path, environment: Mapping[str, str]) -> Layer:
    """Read a `client.properties`, by the names of librdkafka's or of Java's client.

    Properties of Java's client that have no effect on librdkafka are logged as a warning, by their names.

    Raises:
        KafkaConfigError: the file cannot be read, or a property of it cannot be used.
    """
    try:
        text = file.expanduser().read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else r"it is no UTF-8; \uXXXX stands for any character"
        raise KafkaConfigError(f"{file} cannot be read: {why}", source=str(file)) from None
    folder = file.expanduser().resolve().parent
    try:
        lines = [
            Setting(each.name, SecretStr(each.value), f"{file}:{each.number}", folder) for each in read_properties(text)
        ]
    except KafkaConfigError as error:
        raise KafkaConfigError(f"{file}: {error.message}", source=str(file), hint=error.hint) from None
    return _layer(lines, environment, str(file))


def environment_layer(environment: Mapping[str, str]) -> Layer:
    """Read `MESHPORT_KAFKA_<PROPERTY>`: MESHPORT_KAFKA_SASL_PASSWORD is `sasl.password`.

    Raises:
        KafkaConfigError: no property has a name like that, or a value cannot be used.
    """
    known = {_variable(name): name for name in (*JAVA_PROPERTIES, *PROPERTIES, REPLICAS)}
    given = []
    for variable, text in environment.items():
        if not variable.startswith(_PREFIX) or variable == CONFIG_VARIABLE:
            continue
        if variable not in known:
            meant = variable.removeprefix(_PREFIX).lower().replace("_", ".")
            raise unknown_property(meant, source=variable, also=JAVA_PROPERTIES)
        given.append(Setting(known[variable], SecretStr(text), variable, Path.cwd()))
    return _layer(given, environment, "environment")


def table_layer(table: Mapping[str, object], source: str, folder: Path, environment: Mapping[str, str]) -> Layer:
    """Read a table of TOML; a dotted name that is written without quotes is a table in a table.

    Raises:
        KafkaConfigError: a property cannot be used, or holds a secret in the clear: such a table is kept in git.
    """
    given = [Setting(name, SecretStr(text), source, folder) for name, text in _flat(table, source)]
    for each in given:
        if is_secret(each.name) and not has_reference(each.text):
            variable = each.name.upper().replace(".", "_")
            raise each.error(
                "is a secret, which a file that is kept in git does not hold",
                f'{each.name} = "${{env:{variable}}}" refers to a variable, "${{file:PATH}}" to a file',
            )
    return _layer(given, environment, source)


def server_layer(servers: str, source: str) -> Layer:
    """Return the layer of bootstrap servers alone."""
    return {canonical(SERVERS): Setting(SERVERS, SecretStr(servers), source, Path())}


def kafka_config(layers: Iterable[Layer]) -> KafkaConfig:
    """Return the connection that layers describe; a later layer wins.

    A layer with another `security.protocol` also takes away what earlier ones say of a login or TLS that it does not have.

    Raises:
        KafkaConfigError: they ask for a login or for TLS, and for a protocol without it.
    """
    merged: dict[str, Setting] = {}
    protocol = "plaintext"
    for layer in layers:
        if _PROTOCOL in layer:
            protocol = layer[_PROTOCOL].text.lower()
            merged = {name: each for name, each in merged.items() if not _unused(name, protocol)}
        merged |= layer
    for name, each in sorted(merged.items()):
        if _unused(name, protocol):
            right = "ssl" if name.startswith("ssl.") and "sasl" not in protocol else "sasl_ssl"
            raise each.error(f"has no effect with {_PROTOCOL}={protocol}", f"{_PROTOCOL}={right}")
    servers = merged.pop(canonical(SERVERS), None)
    return KafkaConfig(
        servers.text if servers else "",
        {each.name: each.text for each in merged.values()},
    )


def _variable(name: str) -> str:
    return _PREFIX + name.upper().replace(".", "_")


def _flat(table: Mapping[str, object], source: str, above: str = "") -> Iterable[tuple[str, str]]:
    for name, value in table.items():
        match value:
            case dict():
                yield from _flat(value, source, f"{above}{name}.")
            case bool():
                yield above + name, str(value).lower()
            case str() | int() | float():
                yield above + name, str(value)
            case _:
                raise KafkaConfigError(
                    f"{source}: {above}{name} is neither text, number nor truth value",
                    property=above + name,
                    source=source,
                )


def _layer(given: Iterable[Setting], environment: Mapping[str, str], source: str) -> Layer:
    settings, left_out = translated(_resolved(each, environment) for each in given)
    if left_out:
        names = ", ".join(sorted(each.name for each in left_out))
        _log.warning("%s: without effect, since Kafka's client for Python has no such property: %s", source, names)
    for each in settings:
        _check(each)
    return {canonical(each.name): each for each in settings}


def _resolved(setting: Setting, environment: Mapping[str, str]) -> Setting:
    text = setting.text
    if not text and setting.name != _HOST_NAME_CHECK:
        raise setting.error("is empty", "leave it out")
    if has_reference(text):
        try:
            text = dereferenced(text, folder=setting.folder, environment=environment)
        except KafkaConfigError as error:
            raise setting.error(f"cannot be read: {error.message}", error.hint) from None
    if setting.name in _PATHS and text != "probe":
        text = str(setting.folder / Path(text).expanduser())
    return setting.named(setting.name, text)


def _check(setting: Setting) -> None:
    if setting.name in OBJECTS:
        raise setting.error("is given in Python, not as a text")
    check_property(setting.name, setting.text, source=setting.source, also=JAVA_PROPERTIES)
    if setting.name == TOKEN_FUNCTION:
        try:
            token_function(setting.text)
        except KafkaConfigError as error:
            raise setting.error(f"cannot be used: {error.message}", error.hint) from error
    elif canonical(setting.name) == "sasl.mechanisms" and setting.text.upper() not in _MECHANISMS:
        raise setting.error(
            f"is {setting.text}, which librdkafka does not have",
            f"{', '.join(_MECHANISMS)}; OAUTHBEARER with {TOKEN_FUNCTION}=module:function for the logins of managed clouds",
        )
    elif setting.name in _PATHS and setting.text != "probe" and not Path(setting.text).exists():
        raise setting.error(f"leads to {setting.text}, where there is no file")


def _unused(name: str, protocol: str) -> bool:
    """Return whether a property of a login or of TLS has no effect with a protocol: librdkafka would connect without."""
    for kind, begins in (("sasl", ("sasl.", TOKEN_FUNCTION)), ("ssl", ("ssl.",))):
        if name.startswith(begins):
            return kind not in protocol
    return False
