"""How work that comes back is recognised and repeated: traces, signatures, programs, guards, automations, matching.

Pure: data in, data out; no clock, no bus, no database, no model. The orchestrator executes what is written here, the
improvement service induces and replays it. Text that came from tools or the web is only ever compared and copied.
"""
