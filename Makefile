# The commands that people type.  The build itself is pgxs.mk.
#
#   make              build the library, the install script and the client
#   make install      install them into the server that pg_config names
#   make demo         the flights example on a private temporary server
#   make check        all tests; PART=static|regress|isolation|pgtap|tap, TEST=name for one
#   make fuzz         random queries against random changes; SECONDS=600, SEED=n
#   make mutants      bugs put in on purpose, which the tests must notice; MUTANT=name for some
#   make torture      faults of all kinds under load; SECONDS=3600, SEED=n
#   make bench        the table of ratios
#   make format       clang-format over src/
#   make clean

PG_CONFIG ?= pg_config
PGXS_MAKE = $(MAKE) -f pgxs.mk PG_CONFIG=$(PG_CONFIG)

.PHONY: all build install demo check fuzz mutants torture bench format clean

all: build

build:
	+@$(PGXS_MAKE) all

install:
	+@$(PGXS_MAKE) install

demo:
	@examples/flights/demo.sh

check:
	@PG_CONFIG=$(PG_CONFIG) PART='$(PART)' TEST='$(TEST)' test/run.sh

fuzz:
	@PG_CONFIG=$(PG_CONFIG) SECONDS_TO_RUN='$(SECONDS)' SEED='$(SEED)' BATCH='$(BATCH)' OUT='$(OUT)' test/fuzz/fuzz.sh

mutants:
	@PG_CONFIG=$(PG_CONFIG) MUTANT='$(MUTANT)' test/mutants/mutants.sh

torture:
	@PG_CONFIG=$(PG_CONFIG) SECONDS_TO_RUN='$(SECONDS)' SEED='$(SEED)' test/torture/torture.sh

bench:
	@test/bench/bench.sh

format:
	find src -name '*.[ch]' | xargs clang-format -i

clean:
	+@$(PGXS_MAKE) clean
