"""``python -m tests.nets.renew``: keep what perfkit does now as what it is to do.

Options go to pytest: ``python -m tests.nets.renew -k artists``. Look at the diff of ``tests/nets/data`` before you
commit it: each of its lines is a change that a user can notice.
"""

import os
import sys

import pytest

from tests.nets.golden import HERE, RENEW

if __name__ == "__main__":
    os.environ[RENEW] = "1"
    sys.exit(pytest.main([str(HERE), "-q", *sys.argv[1:]]))
