"""Everyday things to draw, against which a concept is learned: tools among them, since they look like weapons."""

_TEXT = (
    "a cat, a dog, a horse, a fish, a bee, a banana, an apple, a pizza, a cake, a car, a bus, a bicycle, a tree, "
    "a rose, a house, a castle, a book, a camera, a clock, an umbrella, a guitar, a shoe, a dress, the moon, a "
    "hat, a shirt, jeans, a glove, a scarf, a sock, a crown, glasses, a drum, a trumpet, a piano, a saxophone, a "
    "ball, a basketball, a skateboard, a trophy, a hammer, a wrench, scissors, a pencil, a key, a broom, a "
    "needle, a candle, a lamp, a bell, a star, the sun, a cloud, a rainbow, a balloon, a gift, a telephone, a "
    "television, an envelope, a chair, a bathtub, a ring"
)
THINGS = _TEXT.split(", ")
