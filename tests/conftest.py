"""What holds for every test: nothing of the machine's own Leverframe reaches one."""

import os

for name in [name for name in os.environ if name.startswith("LEVERFRAME_")]:
    if not name.startswith("LEVERFRAME_TEST_"):
        del os.environ[name]
