"""The fraud guard: weighs an order by lists, by the shape of traffic, and by what earlier traffic converted to."""
