"""`bench language`: what the guard makes of sentences, for any text encoder, concept sets and modes. No pictures."""
