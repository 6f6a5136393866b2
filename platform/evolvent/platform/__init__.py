"""The roof: settings, logs, the nats-server, assembly, supervision, the SDK client and the command line.

Lives here: everything that builds things or meets people. Nobody below may import it, and only `bootstrap` builds
services. Shown in use by tests/e2e/test_cli.py.
"""
