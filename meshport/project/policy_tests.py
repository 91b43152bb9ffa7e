"""Tests of policies: YAML files beside them, a row for each caller that may do something or may not."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Literal, Self

from pydantic import BaseModel, ConfigDict, ValidationError, model_validator
from pydantic.alias_generators import to_camel

from meshport.errors import PolicyError
from meshport.policy import Action, Decision, PolicySet, ProductResource, Resource
from meshport.product import Archetype, Product, Status
from meshport.product.input_port import AddressText
from meshport.product.yaml_file import Node, SequenceNode, YamlError, read
from meshport.project.policies import resource_named
from meshport.project.project import Project

TESTS: Final = ("policies/*.test.yaml", "producers/*/policies.test.yaml", "processors/*/policies.test.yaml")
_MODEL: Final = ConfigDict(frozen=True, extra="forbid", alias_generator=to_camel, populate_by_name=True)


class TestedProduct(BaseModel):
    """A product that a test of policies describes itself, since the project need not have it.

    Attributes:
        product: its address.
        owner: the group that answers for it; it owns the domain too.
        archetype: as in a product.yaml, like the following ones.
        classification: how sensitive its data is.
        status: its position in its lifecycle.
        required_security_group: the group whose members may read it.
        granted_to: the callers that a grant lets read it.
    """

    __test__ = False  # no test of pytest
    model_config = _MODEL

    product: AddressText
    owner: str
    archetype: Archetype = Archetype.SOURCE_ALIGNED
    classification: Literal["public", "internal", "confidential", "restricted"] = "internal"
    status: Status = Status.ACTIVE
    required_security_group: str | None = None
    granted_to: tuple[str, ...] = ()

    def resource(self) -> ProductResource:
        """Return the product as policies see it."""
        group = self.required_security_group
        return ProductResource(
            self.product.domain,
            self.product.product,
            self.owner,
            frozenset({self.owner}),
            self.archetype.value,
            self.classification,
            self.status.value,
            frozenset({group} if group else ()),
            frozenset(self.granted_to),
        )


class PolicyTest(BaseModel):
    """A row of a test file: whether a caller may do something.

    Attributes:
        caller: its name.
        groups: the groups that it is in.
        by: how it is known.
        action: what it wants to do.
        resource: `mesh`, `<domain>/<product>`, `domain:<name>`, `subject:<name>`, or a product with its attributes.
        expect: `allow` or `refuse`.
        policy: the id of a policy that has to be among those that decide.
    """

    model_config = _MODEL

    caller: str
    groups: frozenset[str] = frozenset()
    by: Literal["anonymous", "key", "certificate", "token"] = "key"
    action: Action
    resource: str | TestedProduct = "mesh"
    expect: Literal["allow", "refuse"]
    policy: str | None = None

    @model_validator(mode="after")
    def _anonymous_is_no_group(self) -> Self:
        if self.caller == "anonymous" and self.by != "anonymous":
            raise ValueError("the caller anonymous is known by nothing: write `by: anonymous`")
        return self


@dataclass(frozen=True, slots=True)
class PolicyTestResult:
    """What became of a row.

    Attributes:
        file: the test file.
        line: of the row.
        row: the row.
        decision: what the policies decided.
    """

    file: str
    line: int
    row: PolicyTest
    decision: Decision

    @property
    def passed(self) -> bool:
        """Whether the policies decided as the row expects."""
        named = self.row.policy is None or self.row.policy in self.decision.policies
        return named and self.decision.allowed == (self.row.expect == "allow")


def run_tests(project: Project, policies: PolicySet) -> Iterator[PolicyTestResult]:
    """Yield the result of each row of a project's test files.

    Args:
        project: its products are what rows name.
        policies: decide.

    Raises:
        PolicyError: a test file cannot be read, or a row names what is not known.
    """
    products = [each.product for each in project.products]
    for pattern in TESTS:
        for path in project.files.matching(pattern):
            yield from _run_file(project.files.called(path), project.files.text(path), products, policies)


def _run_file(file: str, text: str, products: Sequence[Product], policies: PolicySet) -> Iterator[PolicyTestResult]:
    try:
        lines, rows = read(text, _lines)
    except YamlError as error:
        raise PolicyError(f"{file}:{error.line}: is no YAML: {error.problem}", file=file) from error
    if lines is None or not isinstance(rows, list):
        raise PolicyError(
            f"{file}: holds no list of tests",
            file=file,
            hint="- {caller: ann, groups: [shop], action: register, resource: shop/orders, expect: allow}",
        )
    for line, given in zip(lines, rows, strict=True):
        try:
            row = PolicyTest.model_validate(given)
            resource = _resource(row, products)
        except ValidationError as error:
            found = error.errors(include_url=False)[0]
            where = ".".join(map(str, found["loc"]))
            raise PolicyError(f"{file}:{line}: {where}: {found['msg']}", file=file) from error
        except PolicyError as error:
            raise PolicyError(f"{file}:{line}: {error.message}", file=file, hint=error.hint) from error
        decision = policies.decide(row.caller, row.groups, row.action, resource, {"by": row.by})
        yield PolicyTestResult(file, line, row, decision)


def _lines(root: Node) -> list[int]:
    items = root.value if isinstance(root, SequenceNode) else []
    return [each.start_mark.line + 1 for each in items]


def _resource(row: PolicyTest, products: Sequence[Product]) -> Resource:
    return resource_named(row.resource, products) if isinstance(row.resource, str) else row.resource.resource()
