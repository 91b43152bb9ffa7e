"""The login modules of `sasl.jaas.config`, as properties of librdkafka.

Source: Kafka's documentation, "Authentication using SASL" (JAAS configuration for Kafka clients, and its sections PLAIN, SCRAM,
OAUTHBEARER). The text is read as the JDK reads it: a class, a control flag, options `name=value` and a semicolon.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Final, NamedTuple

from meshport.kafka.setting import Setting

__all__ = ["login_properties"]

_TOKEN: Final = re.compile(
    r"""\s*(?:"(?P<text>(?:\\.|[^"\\\n])*)"|'(?P<single>(?:\\.|[^'\\\n])*)'|(?P<word>[^\s=;"']+)|(?P<sign>[=;]))""",
    re.DOTALL,
)
_FLAGS: Final = ("required", "requisite", "sufficient", "optional")
_ESCAPES: Final = {"n": "\n", "t": "\t", "r": "\r", "f": "\f", "b": "\b"}
_CLAIM: Final = "unsecuredLoginStringClaim_"
_EXTENSION: Final = "extension_"


class _Login(NamedTuple):
    module: str
    options: Mapping[str, str]


def login_properties(setting: Setting) -> Iterator[Setting]:
    """Yield librdkafka's properties for a `sasl.jaas.config`.

    Raises:
        KafkaConfigError: it is not as the JDK reads it, or its login module is none of Kafka's own for PLAIN, SCRAM and
            OAUTHBEARER. The message has no option's value.
    """
    login = _parsed(setting)
    module = login.module.rsplit(".", 1)[-1]
    if module in {"PlainLoginModule", "ScramLoginModule"}:
        if login.options.get("tokenauth", "").lower() == "true":
            raise setting.error("is for a delegation token, which librdkafka does not support")
        for option, name in (("username", "sasl.username"), ("password", "sasl.password")):
            if option not in login.options:
                raise setting.error(f"gives {module} no {option}")
            yield setting.named(name, login.options[option])
    elif module == "OAuthBearerLoginModule":
        yield from _oauth_properties(setting, login.options)
    elif module == "IAMLoginModule":
        raise setting.error(
            "is for AWS_MSK_IAM, a mechanism of Java's client",
            "sasl.mechanism=OAUTHBEARER with a token function: oauth_cb=module:function",
        )
    else:
        raise setting.error(
            f"has the login module {module}",
            "PlainLoginModule, ScramLoginModule and OAuthBearerLoginModule are read; librdkafka has other properties",
        )


def _oauth_properties(setting: Setting, options: Mapping[str, str]) -> Iterator[Setting]:
    claims = {name.removeprefix(_CLAIM): value for name, value in options.items() if name.startswith(_CLAIM)}
    if "sub" in claims:
        yield setting.named("enable.sasl.oauthbearer.unsecure.jwt", "true")
        yield setting.named("sasl.oauthbearer.config", f"principal={claims['sub']}")
        return
    for option, name in (
        ("clientId", "sasl.oauthbearer.client.id"),
        ("clientSecret", "sasl.oauthbearer.client.secret"),
        ("scope", "sasl.oauthbearer.scope"),
    ):
        if option in options:
            yield setting.named(name, options[option])
    extensions = [
        f"{name.removeprefix(_EXTENSION)}={text}" for name, text in options.items() if name.startswith(_EXTENSION)
    ]
    if extensions:
        yield setting.named("sasl.oauthbearer.extensions", ",".join(extensions))


def _parsed(setting: Setting) -> _Login:
    tokens = list(_tokens(setting))
    if len(tokens) < 3 or tokens[-1] != ("sign", ";") or tokens[1][1].lower() not in _FLAGS:
        raise setting.error("is no login module", 'module.Class required name="value" ...;')
    options: dict[str, str] = {}
    rest = tokens[2:-1]
    while rest:
        match rest[:3]:
            case [("word" | "text", name), ("sign", "="), ("word" | "text", text)]:
                options[name] = text
                rest = rest[3:]
            case _:
                raise setting.error(
                    f"has no option name=value after {_last(options)}",
                    "a value with other characters than letters and digits is in quotes",
                )
    return _Login(tokens[0][1], options)


def _last(options: Mapping[str, str]) -> str:
    return f"its option {list(options)[-1]}" if options else "its control flag"


def _tokens(setting: Setting) -> Iterator[tuple[str, str]]:
    text, position = setting.text.rstrip(), 0
    while position < len(text):
        found = _TOKEN.match(text, position)
        if found is None:
            raise setting.error("has a quote that is not closed")
        position = found.end()
        quoted = found["text"] if found["text"] is not None else found["single"]
        if quoted is not None:
            yield "text", re.sub(r"\\(.)", lambda each: _ESCAPES.get(each[1], each[1]), quoted, flags=re.DOTALL)
        elif found["word"] is not None:
            yield "word", found["word"]
        else:
            yield "sign", found["sign"]
