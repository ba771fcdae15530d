"""State and decisions of one region: its log, what follows from it, and what is published of it.

Everything that happens is an *event*: one public entry of the log and the private record it commits to. Whoever wants
something to happen prepares a *proposal* outside any lock (`drafting`, `proposals`), the *writer* gives it its place
(`writer`, `queueing`, `committing`, `sequencing`), and *projectors* turn it into rows in that transaction (`events`).
The same projectors rebuild every table from the log. A `region.Region` holds all of it together::

    region = await Region.open(config, store)
    committed = await region.writer.append(proposal)      # in the log, durably, or a Refusal that says why not
    rows = await region.database.read(query)              # query gets a `Reading` transaction
    await region.close()

Expected noes are `errors.Refusal` with a stable code. Nothing in here knows HTTP; rows never leave this package.
"""
