"""Logs: one seam to whatever keeps them, its two implementations, and the tools by which agents diagnose.

Lives here: `LogSource` (local files in a full-text index, or Splunk's REST API), the small query language and the
time syntax that both understand, and the diagnostic tools. It may not know runs, models, the bus or SQL. Shown in
use by `tests/integration/test_log_files.py` and `tests/integration/test_splunk.py`.
"""
