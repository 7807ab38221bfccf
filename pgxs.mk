# pgxs.mk: the build of pg_derive, on PostgreSQL's extension makefiles.
#
# People type `make`; the Makefile beside this file calls it.  What is built:
#   pg_derive.so              every src/<folder>/*.c but the client's
#   pg_derive                 the command line program, src/client/*.c with libpq
#   sql/pg_derive--<version>.sql   the parts sql/NN_*.sql in order of their numbers
#   sql/pg_derive--<old>--<version>.sql   for each sql/upgrade/<old>.sql, see sql/README.md
#
# Variables: PG_CONFIG (whose server to build for), WERROR=1 (warnings are errors, as in CI).

PG_CONFIG ?= pg_config

EXTENSION = pg_derive
EXTVERSION = 0.2
MODULE_big = pg_derive
PGFILEDESC = "pg_derive - derived tables that follow the write-ahead log"

srcdir ?= .
MODULE_FOLDERS = base shared catalog change capture plan maintain publish audit worker api
MODULE_SOURCES = $(sort $(wildcard $(MODULE_FOLDERS:%=src/%/*.c)))
CLIENT_SOURCES = $(sort $(wildcard src/client/*.c))
SQL_PARTS = $(sort $(wildcard sql/[0-9][0-9]_*.sql))
SQL_REPLAYED = $(filter-out sql/1% sql/2%,$(SQL_PARTS))
OLD_VERSIONS = $(shell printf '%s\n' $(patsubst sql/upgrade/%.sql,%,$(wildcard sql/upgrade/*.sql)) | sort -V)

OBJS = $(MODULE_SOURCES:.c=.o)
CLIENT_OBJS = $(CLIENT_SOURCES:.c=.o)
CLIENT = $(if $(CLIENT_SOURCES),pg_derive)
INSTALL_SCRIPT_SQL = sql/pg_derive--$(EXTVERSION).sql

UPGRADE_SCRIPTS_SQL = $(OLD_VERSIONS:%=sql/pg_derive--%--$(EXTVERSION).sql)

DATA_built = $(INSTALL_SCRIPT_SQL) $(UPGRADE_SCRIPTS_SQL)
SCRIPTS_built = $(CLIENT)
EXTRA_CLEAN = $(CLIENT_OBJS) $(OBJS:.o=.d) $(CLIENT_OBJS:.o=.d)

# Bitcode serves only to inline functions into JIT-compiled expressions; ours never are.
override with_llvm = no

PG_CPPFLAGS = -I$(srcdir)/src -DDERIVE_VERSION='"$(EXTVERSION)"' -I$(shell $(PG_CONFIG) --includedir)
PG_CFLAGS = -Wall -Wextra -Wno-unused-parameter -Wno-sign-compare \
	-Wno-missing-field-initializers -MMD -MP
ifeq ($(WERROR),1)
PG_CFLAGS += -Werror
endif

PGXS := $(shell $(PG_CONFIG) --pgxs)
include $(PGXS)

# Header dependencies, written by the compiler beside the objects.
-include $(OBJS:.o=.d) $(CLIENT_OBJS:.o=.d)

$(INSTALL_SCRIPT_SQL): $(SQL_PARTS) pgxs.mk
	{ printf '%s\n' '\echo Use "CREATE EXTENSION pg_derive" to load this file. \quit'; \
	  for part in $(SQL_PARTS); do printf '\n'; cat $$part; done; } >$@.tmp
	mv $@.tmp $@

# From an old version: its changes, those of later ones, and all that can be made again.
sql/pg_derive--%--$(EXTVERSION).sql: $(wildcard sql/upgrade/*.sql) $(SQL_PARTS) pgxs.mk
	{ printf '%s\n' '\echo Use "ALTER EXTENSION pg_derive UPDATE" to load this file. \quit'; \
	  reached=; for old in $(OLD_VERSIONS); do \
	    if [ $$old = $* ]; then reached=1; fi; \
	    if [ -n "$$reached" ]; then printf '\n'; awk '$$1 == "\\part" { while ((getline line < ("sql/" $$2)) > 0) \
	      print line; next } { print }' sql/upgrade/$$old.sql; fi; done; \
	  for part in $(SQL_REPLAYED); do printf '\n'; \
	    sed -E 's/^CREATE (FUNCTION|VIEW) /CREATE OR REPLACE \1 /' $$part; done; } >$@.tmp
	mv $@.tmp $@

# Not $(LIBS): those are the server's own, whose development packages nobody here needs.
$(CLIENT): $(CLIENT_OBJS)
	$(CC) $(CFLAGS) $(CLIENT_OBJS) $(LDFLAGS) $(LDFLAGS_EX) \
		-L$(pkglibdir) -lpgfeutils -lpgcommon -lpgport $(libpq) -lm -o $@$(X)
