"""What a user wrote by hand into a fitted file stays when it is fitted anew, and all else is new."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from simfunnel.errors import InputError
from simfunnel.fitting import Fitted, fit
from simfunnel.fitting.keeping import Edited, read_hand
from simfunnel.scenario import load
from tests.histories import World, flat, staged


@pytest.fixture(scope="module")
def world() -> World:
    return flat(8)


@pytest.fixture(scope="module")
def earlier(world: World) -> Fitted:
    return fit(world.until(300))


@pytest.fixture(scope="module")
def later(world: World) -> Fitted:
    return fit(world.until(400))


def edited(fitted: Fitted, path: Path, *changes: tuple[str, str]) -> Path:
    text = fitted.to_yaml()
    for was, now in changes:
        assert text.count(was) == 1, was
        text = text.replace(was, now)
    path.write_text(text, encoding="utf-8")
    return path


def effects(fitted: Fitted) -> list[dict[str, Any]]:
    return list(fitted.tree["effects"])


@pytest.mark.parametrize("funnel", [flat(8), staged(1)], ids=["flat", "staged"])
def test_of_a_file_as_it_was_fitted_nothing_is_by_hand(funnel: World, tmp_path: Path) -> None:
    file = edited(fit(funnel.until(160)), tmp_path / "old.yaml")
    found, new = fit(funnel.until(250), keep=file), fit(funnel.until(250))
    assert found.tree == new.tree
    assert found.assumptions == (*new.assumptions, "nothing was written by hand")
    assert "Written by hand" not in found.to_yaml()


def test_what_was_changed_added_and_taken_away_stays_so(
    world: World, earlier: Fitted, later: Fitted, tmp_path: Path
) -> None:
    sellers = [member["name"] for member in later.tree["teams"]["sellers"]["members"]]
    file = edited(
        earlier,
        tmp_path / "old.yaml",
        ("selling_time: 35%", "selling_time: 50%"),
        ("currency: USD", "currency: USD\ntarget: 1M"),
        (f"    - {{name: {sellers[0]}}}\n", ""),
        (f"{{name: {sellers[1]}}}", f"{{name: {sellers[1]}, pay: 5000 per month}}"),
        ("Won: {books: value}", "Won: {books: 90% of value}"),
        ("\neffects:\n", "\neffects:\n- {when: {month: Nov}, on: open -> Won, odds: x1.2}\n"),
    )
    found = fit(world.until(400), keep=file)
    tree = found.tree
    assert tree["target"] == "1M"
    assert tree["teams"]["sellers"] == {
        "selling_time": "50%",
        "members": [{"name": sellers[1], "pay": "5000 per month"}],
    }
    assert tree["stages"]["Won"] == {"books": "90% of value"}
    mine = {"when": {"month": "Nov"}, "on": "open -> Won", "odds": "x1.2"}
    assert effects(found) == [mine, *effects(later)]
    untouched = ("start", "sources", "value")
    assert {key: tree[key] for key in untouched} == {key: later.tree[key] for key in untouched}
    assert tree["stages"]["open"] == later.tree["stages"]["open"] != earlier.tree["stages"]["open"]
    text = found.to_yaml()
    assert f"members.{sellers[0]} (taken away), teams" not in text
    assert f"# Written by hand: teams.sellers.selling_time, teams.sellers.members.{sellers[1]}.pay, " in text
    assert f"teams.sellers.members.{sellers[0]} (taken away)." in text
    assert load_again(text, tmp_path).spec.target == 1e6


def load_again(text: str, folder: Path) -> Any:
    (folder / "again.yaml").write_text(text, encoding="utf-8")
    return load(folder / "again.yaml")


def test_what_is_kept_is_kept_the_next_time_too(world: World, earlier: Fitted, tmp_path: Path) -> None:
    """Also a value that happens to be what is fitted then."""
    now = earlier.tree["stages"]["open"]["work"]["effort"]
    hand = {"stages": {"open": {"work": {"effort": now}}}, "teams": {"sellers": {"selling_time": None}}}
    once = fit(world.until(300), keep=hand)
    file = edited(once, tmp_path / "once.yaml")
    twice = fit(world.until(400), keep=file)
    assert twice.tree["stages"]["open"]["work"]["effort"] == now
    assert "selling_time" not in twice.tree["teams"]["sellers"]
    thrice = fit(world.until(400), keep=edited(twice, tmp_path / "twice.yaml"))
    assert thrice.to_yaml() == twice.to_yaml()


def test_a_value_of_ones_own_in_place_of_what_was_fitted_is_whole(
    world: World, earlier: Fitted, tmp_path: Path
) -> None:
    """Nothing of a fitted distribution is left under one of another kind."""
    text = earlier.to_yaml()
    begin, end = text.index("\nvalue:"), text.index("\n\n", text.index("\nvalue:") + 1)
    (tmp_path / "old.yaml").write_text(f"{text[:begin]}\nvalue: {{lognormal: {{median: 5000, p90: 9000}}}}{text[end:]}")
    found = fit(world.until(400), keep=tmp_path / "old.yaml")
    assert found.tree["value"] == {"lognormal": {"median": 5000, "p90": 9000}}


def test_the_luck_of_all_deals_changed_by_hand_begins_with_the_new_start(
    world: World, earlier: Fitted, later: Fitted, tmp_path: Path
) -> None:
    luck = next(e for e in effects(earlier) if "pace" in e and "date" in e.get("when", {}))
    file = edited(earlier, tmp_path / "old.yaml", (f"pace: {luck['pace']}", "pace: x1"))
    found = fit(world.until(400), keep=file)
    start = {"date": f"from {later.tree['start']}"}
    assert [e for e in effects(found) if e.get("when") == start] == [{"when": start, "on": luck["on"], "pace": "x1"}]
    assert len(effects(found)) == len(effects(later))


def test_what_was_written_for_a_seller_who_has_left_is_told(world: World, earlier: Fitted, tmp_path: Path) -> None:
    """It would else bring the seller back, with nothing but a pay."""
    name = earlier.tree["teams"]["sellers"]["members"][0]["name"]
    file = edited(earlier, tmp_path / "old.yaml", (f"{{name: {name}}}", f"{{name: {name}, pay: 5000 per month}}"))
    history = world.until(400)
    history.deals.loc[history.deals["owner"] == name, "owner"] = "Zoe"
    found = fit(history, keep=file)
    assert name not in [member["name"] for member in found.tree["teams"]["sellers"]["members"]]
    assert found.assumptions[-1] == (
        f"written by hand, but what it changed is no longer there: teams.sellers.members.{name}.pay"
    )


def test_what_is_all_by_hand_needs_nothing_that_was_fitted_beside_it(
    earlier: Fitted, later: Fitted, tmp_path: Path
) -> None:
    file = edited(
        earlier,
        tmp_path / "old.yaml",
        ("\neffects:\n", "\neffects:\n- {when: {month: Nov}, on: open -> Won, odds: x1.2}\n"),
        ("\nteams:\n", "\nteams:\n  service: {size: 2}\n"),
    )
    bare = {key: part for key, part in later.tree.items() if key not in ("effects", "teams")}
    laid = read_hand(file).over(bare)
    assert laid.lost == ()
    assert laid.tree["teams"] == {"service": {"size": 2}}
    assert laid.tree["effects"] == [{"when": {"month": "Nov"}, "on": "open -> Won", "odds": "x1.2"}]


def test_a_stage_of_ones_own_stays_where_it_was_put(tmp_path: Path) -> None:
    """The order of stages says which way is forward."""
    world = staged(1)
    old = fit(world.until(160))
    first, second = list(old.tree["stages"])[:2]
    file = edited(
        old, tmp_path / "old.yaml", (f"\n  {second}:", f"\n  Nurture:\n    exits: {{lost: {{}}}}\n  {second}:")
    )
    assert list(fit(world.until(250), keep=file).tree["stages"])[:3] == [first, "Nurture", second]


# --- files that can't be kept -----------------------------------------------------------------------------------------


def test_a_file_of_parts_alone_is_kept_whole(world: World, later: Fitted, tmp_path: Path) -> None:
    (tmp_path / "parts.yaml").write_text("teams: {sellers: {selling_time: 50%}}\ntarget: 1M\n")
    found = fit(world.until(400), keep=str(tmp_path / "parts.yaml"))
    by_hand = fit(world.until(400), keep={"teams": {"sellers": {"selling_time": "50%"}}, "target": "1M"})
    assert found.to_yaml() == by_hand.to_yaml() != later.to_yaml()


def test_a_scenario_that_tells_not_what_was_fitted_is_refused(earlier: Fitted, tmp_path: Path) -> None:
    file = tmp_path / "old.yaml"
    file.write_text(earlier.to_yaml().partition("# By these marks")[0])
    with pytest.raises(InputError, match="does not tell what in it was fitted and what was written by hand"):
        read_hand(file)


def test_a_variant_need_not_be_kept(tmp_path: Path) -> None:
    (tmp_path / "more.yaml").write_text("extends: model.yaml\noverride: {teams: {sellers: {size: 3}}}\n")
    with pytest.raises(InputError, match="is a variant and stays as it is"):
        read_hand(tmp_path / "more.yaml")


def test_a_faulty_file_is_told_with_every_fault(earlier: Fitted, tmp_path: Path) -> None:
    changes = (("selling_time: 35%", "selling_time: much"), ("horizon: 2 quarters", "horizon: 2 quarter of"))
    with pytest.raises(InputError) as caught:
        read_hand(edited(earlier, tmp_path / "old.yaml", *changes))
    assert [fault.path for fault in caught.value.faults] == ["horizon", "teams.sellers.selling_time"]


def test_a_fiscal_year_changed_by_hand_is_refused(world: World, earlier: Fitted, tmp_path: Path) -> None:
    file = edited(earlier, tmp_path / "old.yaml", ("fiscal_year_ends: December", "fiscal_year_ends: January"))
    assert isinstance(read_hand(file), Edited)
    with pytest.raises(InputError, match="fiscal_year_ends can't be kept by hand"):
        fit(world.until(400), keep=file)
