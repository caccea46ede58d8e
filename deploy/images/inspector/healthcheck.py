"""Asks /healthz of the inspector in the same container; status 0 where it answers 200. HEALTH_URL names another address or HTTPS."""

from __future__ import annotations

import os
import ssl
import sys
import urllib.error
import urllib.request

TIMEOUT_S = 4.0


def main() -> int:
    """Ask once; return the exit status."""
    url = os.environ.get("HEALTH_URL", "http://127.0.0.1:9300/healthz")
    # The certificate bears the name that the network knows, not that of the loopback, where nobody stands between.
    tls = ssl.create_default_context() if url.startswith("https:") else None
    if tls is not None:
        tls.check_hostname, tls.verify_mode = False, ssl.CERT_NONE
    try:
        with urllib.request.urlopen(url, timeout=TIMEOUT_S, context=tls) as answer:  # noqa: S310 an operator wrote it
            print(answer.read().decode().strip())
    except urllib.error.HTTPError as exc:
        print(f"{url}: {exc.code}: {exc.read().decode(errors='replace').strip()}", file=sys.stderr)
        return 1
    except (OSError, ValueError) as exc:
        print(f"{url}: {exc}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
