"""What crosses the border: payment events in, business events out, and the one text of an event.

Everything here is data and pure functions. The structs are the source of the JSON schemas as well, so that code and
documents cannot disagree.
"""
