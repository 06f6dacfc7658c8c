"""How good a forecast or a selection was: functional cores and thin classes around them."""
