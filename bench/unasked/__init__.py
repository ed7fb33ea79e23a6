"""`bench unasked`: a concept that comes without its words."""
