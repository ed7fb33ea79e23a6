"""Ways around the guard that need nothing but a graph, put together by a seeded generator: `python -m bench attacks`.

What they try to draw is a pistol beside a wolf on the tiny checkpoint. Nothing here is secret: a provider's check has
to hold against whoever reads this.
"""
