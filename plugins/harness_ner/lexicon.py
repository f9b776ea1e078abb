"""Words of the bundled sentences: invented names, and the sentences that hold them.

Names of people, towns, companies and peoples share beginnings, so that a name is told by its neighbours and endings, and
a club is called like the town it is from.
"""

from __future__ import annotations

FIRST_NAMES = tuple("Alvin Berta Cormo Dalia Erwan Fenna Gorim Helka Ivaro Jolen Karda Lomas".split())
LAST_NAMES = tuple("Ostrell Pavane Quorin Rusbeck Sandral Tolvey Umbart Vessing Wendral Yarrow".split())
TOWNS = tuple("Astrel Brenholm Corvale Drunmoor Elsgate Farholm Greyvale Hartmoor Ilmgate Jarnholm".split())
FAR_TOWNS = tuple("New Astrel,Port Corvale,Upper Drunmoor,Lake Elsgate,North Farholm".split(","))
FIRMS = tuple("Astrotec Brenmar Corvex Dunlar Elvico Fargon".split())
FORMS = tuple("Bank,Motors,Group,Steel Works,Air".split(","))
BODIES = tuple("UCF,Council of Towns,Grain Board,FTA,Court of Audit".split(","))
PEOPLES = tuple("Astrelian Brenish Corvalian Drunmoorish Elsgatian Farish".split())
EVENTS = tuple("Grain Cup,Lantern Open,Harbour Prize,River Games".split(","))

# {P}: a person's full name, {F}: a last name alone, {L}: a place, {O}: a company or a body, {C}: a club, called like its
# town, {M}: a people's adjective, {E}: an event, {n}: a number
SENTENCES = (
    "{P} of {O} arrived in {L} on Monday .",
    "Mr {F} said that {O} would open an office in {L} .",
    "{C} beat {C} {n} - {n} in the {E} .",
    "{C} drew with {C} , and {P} scored twice .",
    "{P} ( {M} ) won the {E} in {L} .",
    "shares of {O} fell {n} percent , {O} rose {n} .",
    "the {M} minister {P} met Mr {F} in {L} .",
    "{L} : police found {n} lost boats near {L} .",
    "the {M} press wrote about {O} and {P} .",
    "Mrs {F} left {O} after {n} years .",
    "rain is expected in {L} and {L} on Friday .",
    "prices of wheat rose {n} percent last week .",
    "the match was stopped after {n} minutes .",
    "{O} sold {n} ships to the {M} navy .",
    "{P} , {P} and Mr {F} signed for {O} .",
    "trains from {L} to {L} were late again .",
)
