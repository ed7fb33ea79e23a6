"""What the guard costs: time, calls of the encoder, memory."""
