"""Claims about what servers and strangers send, tried with inputs that Hypothesis makes up.

    python -m fuzz.sse --minutes 5      # one harness
    make fuzz                           # all of them, five minutes each

Each module holds a list of claims. ``tests/test_fuzz.py`` tries every claim on the same few examples in each run. An
input that broke one belongs into the tests of the module that it broke, beside the repair.
"""
