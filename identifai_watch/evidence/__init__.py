"""Evidence: what a desk hands to others who do not believe it.

``case`` gathers what there is of one file, ``bundle`` writes it into one ZIP file with a ``page`` for people and the
``instructions`` for whoever checks it, ``checking`` checks such a file, ``stamping`` has a head of the history's chain
stamped by an RFC 3161 authority. Ledger and folder are read, and nothing is written but the bundle.
"""
