"""What ships as data: everyday language, concept sets, sentences, things to draw."""
