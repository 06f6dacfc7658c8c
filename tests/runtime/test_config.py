"""The config's schema is the signature of what it builds."""

from __future__ import annotations

import functools
from typing import Annotated, Literal

import pytest
from omegaconf import OmegaConf
from pydantic import Field

from foretrain.errors import ConfigError
from foretrain.runtime import config as schema
from foretrain.runtime.config import build, check, to_plain


class Engine:
    def __init__(self, power: Annotated[int, Field(ge=1)], fuel: Literal["petrol", "diesel"] = "petrol") -> None:
        self.power = power
        self.fuel = fuel
        if fuel == "diesel" and power > 500:
            raise ValueError("no diesel engine has more than 500")


class Turbo(Engine):
    pass


class Wheel:
    def __init__(self, radius: float = 0.3) -> None:
        self.radius = radius


class Car:
    def __init__(
        self, engine: Engine, wheels: dict[str, Wheel], sizes: list[int], name: str | None = None, weight: float = 1.0
    ) -> None:
        self.engine, self.wheels, self.sizes, self.name, self.weight = engine, wheels, sizes, name, weight


def make_engine(power: int) -> Engine:
    return Engine(power)


@pytest.fixture(autouse=True)
def _allow_this_module(monkeypatch):
    monkeypatch.setattr(schema, "_PACKAGES", (*schema._PACKAGES, __name__))


def target(name: str) -> str:
    return f"{__name__}.{name}"


def car(**changes):
    node = {
        "_target_": target("Car"),
        "engine": {"_target_": target("Engine"), "power": 90},
        "wheels": {"front": {"_target_": target("Wheel"), "radius": 0.4}},
        "sizes": [1, 2],
    }
    return node | changes


def check_and_build(node):
    check(node, Car)
    return build(node)


def test_builds_nested_objects():
    built = check_and_build(car(name="beetle"))
    assert (built.engine.power, built.wheels["front"].radius, built.sizes, built.name) == (90, 0.4, [1, 2], "beetle")


def test_a_subclass_and_a_function_that_returns_the_class_fit():
    assert isinstance(check_and_build(car(engine={"_target_": target("Turbo"), "power": 1})).engine, Turbo)
    assert check_and_build(car(engine={"_target_": target("make_engine"), "power": 7})).engine.power == 7


def test_a_partial_may_lack_arguments():
    node = {"_target_": target("Engine"), "_partial_": True, "fuel": "diesel"}
    check(node)
    made = build(node)
    assert isinstance(made, functools.partial)
    assert made(power=3).fuel == "diesel"


@pytest.mark.parametrize(
    ("node", "key", "message"),
    [
        (car(colour="red"), "colour", "unknown key"),
        (car(nmae="x"), "nmae", "did you mean 'name'"),
        (car(engine={"_target_": target("Engine"), "power": 0}), "engine.power", "greater than or equal to 1"),
        (car(engine={"_target_": target("Engine"), "power": "many"}), "engine.power", "valid integer"),
        (
            car(engine={"_target_": target("Engine"), "power": 1, "fuel": "tea"}),
            "engine.fuel",
            "one of 'petrol', 'diesel'",
        ),
        (car(engine={"_target_": target("Engine")}), "engine.power", "missing"),
        (car(engine={"_target_": target("Wheel")}), "engine._target_", "something else than this place wants"),
        (car(engine={"power": 3}), "engine._target_", "missing"),
        (car(engine={"_target_": "Engine"}), "engine._target_", "not an import path"),
        (car(engine={"_target_": "foretrain.errors.__doc__"}), "engine._target_", "neither a class nor a function"),
        (car(engine=5), "engine", "should be an instance of Engine"),
        (car(engine={"_target_": "os.system", "command": "true"}), "engine._target_", "outside the allowed packages"),
        (car(engine={"_target_": "foretrain.nothing.Thing"}), "engine._target_", "cannot be imported"),
        (car(engine={"_target_": "foretrain.errors.Thing"}), "engine._target_", "has no Thing"),
        (car(wheels={"front": {"_target_": target("Wheel"), "radius": "big"}}), "wheels.front.radius", "valid number"),
        (car(sizes=[1, "two"]), "sizes", "valid integer"),
        (car(weight=None), "weight", "valid number"),
        (car(name=3), "name", "valid string"),
    ],
)
def test_a_wrong_node_names_key_and_what_is_allowed(node, key, message):
    with pytest.raises(ConfigError, match=message) as caught:
        check(node, Car)
    assert caught.value.key == key
    assert caught.value.exit_code == 2


def test_values_that_do_not_go_together_name_their_node():
    node = car(engine={"_target_": target("Engine"), "power": 900, "fuel": "diesel"})
    check(node, Car)
    with pytest.raises(ConfigError, match="no diesel engine") as caught:
        build(node)
    assert caught.value.key == "engine"


def test_missing_and_unresolvable_values_name_their_key():
    with pytest.raises(ConfigError, match="b"):
        to_plain(OmegaConf.create({"a": {"b": "???"}}))
    with pytest.raises(ConfigError, match="nowhere"):
        to_plain(OmegaConf.create({"a": "${nowhere}"}))
