"""Every rule the checks know, with what a vendor is told about it; docs/vendor/bevindingen.md is generated from this list."""

from gateway.checks.catalogue_counting import COUNTING_RULES
from gateway.checks.catalogue_drop import DROP_RULES
from gateway.checks.catalogue_exchange import EXCHANGE_RULES
from gateway.checks.catalogue_row import ROW_RULES
from gateway.checks.rule import Rule

#: Code → rule, in the order of the vendors' page.
CATALOGUE: dict[str, Rule] = {rule.code: rule for rule in (*DROP_RULES, *ROW_RULES, *EXCHANGE_RULES, *COUNTING_RULES)}
