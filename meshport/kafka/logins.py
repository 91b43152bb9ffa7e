"""Logins by SCRAM, which a cluster keeps itself."""

from __future__ import annotations

from typing import Final

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient, ScramCredentialInfo, ScramMechanism, UserScramCredentialUpsertion
from pydantic import SecretStr

from meshport.kafka.answer import ANSWER_S, answer_of
from meshport.kafka.client import new_client
from meshport.kafka.config import KafkaConfig
from meshport.kafka.errors import client_error

__all__ = ["Logins"]

_ITERATIONS: Final = 4096  # the fewest that Kafka takes


class Logins:
    """Changes the logins of one cluster.

    Args:
        kafka: the connection to the cluster, of a principal that may alter it.
    """

    def __init__(self, kafka: KafkaConfig) -> None:
        self._client = new_client(AdminClient, kafka, {"log_level": 0})

    def set_password(self, login: str, password: SecretStr) -> None:
        """Have a login take this password by SCRAM-SHA-512, and no other; its principal is `User:LOGIN`.

        Raises:
            KafkaError: the cluster did not take it.
        """
        what = f"cannot set the password of {login}"
        info = ScramCredentialInfo(ScramMechanism.SCRAM_SHA_512, _ITERATIONS)
        try:
            asked = self._client.alter_user_scram_credentials(
                [UserScramCredentialUpsertion(login, info, password.get_secret_value().encode())],
                request_timeout=ANSWER_S,
            )
            for each in asked.values():
                answer_of(each, what)
        except KafkaException as error:
            raise client_error(error, what) from error
