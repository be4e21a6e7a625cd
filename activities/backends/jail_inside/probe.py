"""Inside the jail: start the service, wait until it is healthy, send the probes, print one JSON object.

Usage: `probe.py ORDER`; ORDER is a JSON object with `command` (`{port}` is replaced), `health_path`,
`flags` (name → value), `probes` (objects with name, method, path, body) and `seconds` to become healthy.
Printed: `{"answers": [{"probe", "status", "detail"}...], "log": tail of the service's output}`.

The flag values reach the service as a flagd definition file, named by the variables that flagd's own
OpenFeature providers read: `FLAGD_RESOLVER=file` and `FLAGD_OFFLINE_FLAG_SOURCE_PATH`.
"""

import http.client
import json
import os
import subprocess
import sys
import time

PORT = 8080
FLAG_FILE = "/tmp/probe-flags.json"  # noqa: S108 - the jail's own tmpfs
LOG_FILE = "/tmp/probe-service.log"  # noqa: S108 - the jail's own tmpfs
ANSWER_SECONDS = 10


def write_flags(values: dict[str, bool]) -> None:
    flags = {
        name: {
            "state": "ENABLED",
            "variants": {"on": True, "off": False},
            "defaultVariant": "on" if value else "off",
        }
        for name, value in values.items()
    }
    with open(FLAG_FILE, "w") as file:  # noqa: PTH123 - pathlib would double the start-up time
        json.dump({"$schema": "https://flagd.dev/schema/v0/flags.json", "flags": flags}, file)


def send(method: str, path: str, body: str) -> tuple[int, str]:
    """Status and the first part of the body; status 0 and why when no response came."""
    connection = http.client.HTTPConnection("127.0.0.1", PORT, timeout=ANSWER_SECONDS)
    try:
        headers = {"Content-Type": "application/json"} if body else {}
        connection.request(method, path, body=body or None, headers=headers)
        response = connection.getresponse()
        return response.status, response.read(500).decode(errors="replace")
    except (OSError, http.client.HTTPException) as error:
        return 0, f"{type(error).__name__}: {error}"
    finally:
        connection.close()


def healthy(service: "subprocess.Popen[bytes]", path: str, seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and service.poll() is None:
        if send("GET", path, "")[0] == http.client.OK:
            return True
        time.sleep(0.05)
    return False


def log_tail() -> str:
    with open(LOG_FILE, "rb") as file:  # noqa: PTH123 - see write_flags
        file.seek(0, os.SEEK_END)
        file.seek(max(0, file.tell() - 2000))
        return file.read().decode(errors="replace")


def main() -> None:
    order = json.loads(sys.argv[1])
    write_flags(order["flags"])
    environment = os.environ | {"FLAGD_RESOLVER": "file", "FLAGD_OFFLINE_FLAG_SOURCE_PATH": FLAG_FILE}
    command = [part.replace("{port}", str(PORT)) for part in order["command"]]
    with open(LOG_FILE, "wb") as log:  # noqa: PTH123 - see write_flags
        service = subprocess.Popen(command, stdout=log, stderr=log, env=environment)
    if healthy(service, order["health_path"], order["seconds"]):
        sent = [
            (probe["name"], *send(probe["method"], probe["path"], probe["body"])) for probe in order["probes"]
        ]
    else:
        ended = service.poll()
        why = "did not become healthy" if ended is None else f"ended with status {ended}"
        sent = [(probe["name"], 0, f"the service {why}") for probe in order["probes"]]
    service.kill()
    answers = [{"probe": name, "status": status, "detail": detail} for name, status, detail in sent]
    print(json.dumps({"answers": answers, "log": log_tail()}))  # noqa: T201 - the answer of this script


if __name__ == "__main__":
    main()
