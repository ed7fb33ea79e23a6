"""`bench paper`: the tables of the SAFREE paper by its own protocol, on a user's checkpoint, sets and judges."""
