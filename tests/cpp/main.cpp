// The runner of all C++ tests. `fk_tests -ltc` lists them, `-tc="plan:*"` picks some.
#define DOCTEST_CONFIG_IMPLEMENT_WITH_MAIN
#include <doctest/doctest.h>
