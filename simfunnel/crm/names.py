"""Which column means what, and which stage name means won or lost: lists to add to, no code.

Names are compared in their normal form: lower case, letters and digits only (`Close Date`, `close_date` and
`CloseDate` are one name). Where a file has several columns for one meaning, the first alias listed here wins.
"""

from __future__ import annotations

import re


def normal(name: object) -> str:
    """A name's letters and digits in lower case.

    >>> normal("Close_Date "), normal("Opportunity ID")
    ('closedate', 'opportunityid')
    """
    return "".join(letter for letter in str(name).casefold() if letter.isalnum())


# fmt: off
# What a deal is made of -> names seen in exports, in normal form, the most telling first.
ALIASES: dict[str, tuple[str, ...]] = {
    "id": ("opportunityid", "dealid", "hsobjectid", "recordid", "potentialid", "leadid", "id"),
    "created": (
        "createddate", "createdate", "propertycreatedate", "engagedate", "createdon", "createdat",
        "createdtime", "dealcreated", "datecreated", "creationdate", "created", "opendate", "opened",
        "openedat", "addtime", "startdate",
    ),
    "closed": (
        "actualclosedate", "closedate", "propertyclosedate", "closeddate", "dealclosedon", "closedat",
        "closedtime", "closingdate", "dateclosed", "closed", "closetime", "enddate",
    ),
    "stage": (
        "stagename", "dealstage", "propertydealstage", "stage", "opportunitystage", "salesstage",
        "pipelinestage", "dealpipelinestageid", "stageid",
    ),
    "outcome": ("outcome", "status", "dealstatus", "opportunitystatus", "result", "statecode"),
    "is_closed": ("isclosed", "hsisclosed", "propertyhsisclosed"),
    "is_won": ("iswon", "hsisclosedwon", "propertyhsisclosedwon", "isclosedwon", "closedwon", "won"),
    "is_lost": ("islost", "hsisclosedlost", "propertyhsisclosedlost", "isclosedlost", "closedlost", "lost"),
    "value": (
        "actualvalue", "closevalue", "amount", "propertyamount", "dealamount", "dealvalue", "value",
        "opportunityamount", "estimatedvalue", "revenue", "acv", "arr",
    ),
    "owner": (
        "ownername", "opportunityowner", "dealowner", "salesagent", "salesrep", "ownerid", "owner",
        "hubspotownerid", "propertyhubspotownerid", "rep", "seller", "accountexecutive", "assignedto",
        "salesperson",
    ),
    "deleted": ("isdeleted", "deleted", "fivetrandeleted"),
}

REQUIRED = {
    "created": "the day the deal was created",
    "closed": "the day it was won or lost, empty while it is open",
    "stage": "the stage's name (or `outcome`, `is_won` and `is_closed`)",
}

# Columns that say how things stand today, or repeat the outcome: never an attribute of a new deal.
NEVER_ATTRIBUTES = frozenset({
    "forecastcategory", "forecastcategoryname", "probability", "expectedrevenue", "fiscal",
    "fiscalquarter", "fiscalyear", "hasopenactivity", "hasoverduetask", "hasopportunitylineitem",
    "isexcludedfromterritory2filter", "nextstep", "lossreason", "lostreason", "closedlostreason",
    "closedwonreason", "winreason", "portalid", "currency",
})

# Outcome -> stage names and outcome words, in normal form, in a few languages.
OUTCOME_NAMES: dict[str, frozenset[str]] = {
    "won": frozenset({
        "won", "closedwon", "win", "closewon", "dealwon", "wonclosed", "wondeal", "customer", "signed",
        "success", "gewonnen", "gagné", "gagnée", "ganado", "ganada", "ganho", "vinto", "vinta", "vunnen",
        "выиграна", "успешно", "赢单", "成交", "已成交", "受注",
    }),
    "lost": frozenset({
        "lost", "closedlost", "loss", "closelost", "deallost", "lostclosed", "lostdeal", "lose", "dead",
        "abandoned", "cancelled", "canceled", "rejected", "declined", "disqualified", "unqualified",
        "verloren", "perdu", "perdue", "perdido", "perdida", "perso", "persa", "förlorad", "проиграна", "输单",
        "丢单", "失注",
    }),
}
# fmt: on
_WORDS = {"won": {"won"}, "lost": {"lost"}}  # as one word of a longer name: `6 - Closed Won`, `Lost (price)`


def outcome_named(name: object) -> str:
    """'won', 'lost' or 'open', from what a stage or an outcome is called.

    >>> outcome_named("6 - Closed Won"), outcome_named("Closed_Lost"), outcome_named("Negotiation")
    ('won', 'lost', 'open')
    """
    words = set(re.findall(r"[^\W\d_]+", str(name).casefold().replace("'", "").replace("’", "")))
    for outcome, names in OUTCOME_NAMES.items():
        if normal(name) in names or words & _WORDS[outcome]:
            return outcome
    return "open"


def truth(text: object) -> bool:
    """Whether a flag's text says yes."""
    return str(text).strip().casefold() in {"true", "1", "1.0", "yes", "y", "t", "x", "ja", "oui", "sí", "si", "wahr"}
