"""The watched tree, from outside: what is there, what changes, and what one file of it holds.

======== =========================================================================================
roots    what does a folder lie on, and do events work there: ``inspect_root``, ``read_mounts``
watch    events as hints: ``Watch``, ``Notice``
scan     the truth, what differs from what is remembered: ``scan``, ``Memory``, the findings
rules    which names are not looked at, and why: ``Rules``, ``why_not_file``, ``why_not_directory``
ignores  the file ``.identifai-ignore``: ``ignored``
look     one look at one file: ``look``, ``fingerprint``, ``ignore_sigio``
digest   its SHA-256: ``digest``
sidecars our own files, for a ledger that was lost: ``sidecars``
opening  opens all of it below the root, and says whose matter an error is: ``open_inside``, ``FolderError``
======== =========================================================================================

``sniff`` and ``containers`` read formats for ``look`` and ``digest``. Nothing here writes, and nothing knows the
ledger or the API. Import from the modules: this one stays empty, for a command that names a rule needs no watch.
"""
