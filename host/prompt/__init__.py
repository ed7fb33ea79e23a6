"""Find the words of a prompt that lean into a concept, and take them out."""
