# private-server.sh: a temporary PostgreSQL server with this tree's pg_derive, for demo and bench.
#
# Source it, then:
#   server_create NAME      makes $SERVER_DIR with a copy of the installation and pg_derive in it
#   server_start < lines    makes the cluster, with these lines in postgresql.conf, and starts it
#   server_stop             stops it in good order
#   server_remove           stops it at once if it runs and removes every trace; for an EXIT trap
#
# Nothing outside $SERVER_DIR is touched.  PostgreSQL finds its files relative to its programs, so
# a copy of the programs, beside links to everything else, is an installation of its own into
# which "make install" can go without rights on the system's folders.  The server listens on a
# socket in $SERVER_DIR only.  It refuses to run as root, so root hands it to the user postgres.
#
# server_start exports PGHOST, PGPORT, PGUSER, PGDATABASE for libpq and puts the private programs
# first in PATH, psql and pg_derive among them.

PG_CONFIG=${PG_CONFIG:-pg_config}
SERVER_DIR=

# Runs a command as the user that the server runs as, in a folder which that user can enter.
as_server_user()
{
    if [[ $(id -u) == 0 ]]; then
        (cd "$SERVER_DIR" && exec runuser -u postgres -- "$@")
    else
        (cd "$SERVER_DIR" && exec "$@")
    fi
}

# Copies the programs and links the rest, then installs this tree into the copy.
server_install()
{
    local bindir dir
    bindir=$("$PG_CONFIG" --bindir)
    mkdir -p "$SERVER_DIR/root$bindir"
    cp -a "$bindir/." "$SERVER_DIR/root$bindir/"
    for dir in "$("$PG_CONFIG" --pkglibdir)" "$("$PG_CONFIG" --sharedir)"; do
        mkdir -p "$SERVER_DIR/root$dir"
        cp -as "$dir/." "$SERVER_DIR/root$dir/"
        # Should pg_derive be installed on the system: these must be ours.
        find "$SERVER_DIR/root$dir" -name 'pg_derive*' -delete
    done
    make -s install DESTDIR="$SERVER_DIR/root" PG_CONFIG="$PG_CONFIG" >"$SERVER_DIR/install.log" 2>&1 || {
        cat "$SERVER_DIR/install.log" >&2
        return 1
    }
    SERVER_BIN=$SERVER_DIR/root$bindir
}

# Must run in the root of this tree, after "make".
server_create()     # name
{
    if [[ $(id -u) == 0 ]] && ! id postgres >/dev/null 2>&1; then
        echo "PostgreSQL refuses to run as root and there is no user \"postgres\":" \
            "create one, or run this as an ordinary user" >&2
        return 1
    fi
    # Not TMPDIR: a socket's path may have only about 100 characters.
    SERVER_DIR=$(mktemp -d "/tmp/$1.XXXXXX")
    server_install
    [[ $(id -u) != 0 ]] || chown -R -h postgres: "$SERVER_DIR"
}

server_start()
{
    local plugins=
    as_server_user "$SERVER_BIN/initdb" -D "$SERVER_DIR/data" -U postgres -A trust \
        -E UTF8 --no-locale --no-sync >"$SERVER_DIR/initdb.log" 2>&1 || {
        cat "$SERVER_DIR/initdb.log" >&2
        return 1
    }
    # Minor versions that know this setting refuse plugins which are not in it.
    if as_server_user "$SERVER_BIN/postgres" --describe-config |
        grep '^output_plugin_libraries' >/dev/null; then
        plugins="output_plugin_libraries = 'pgoutput, test_decoding, wal2json, pg_derive'"
    fi
    {
        echo "listen_addresses = ''"
        echo "unix_socket_directories = '$SERVER_DIR'"
        echo "port = 5432"
        echo "wal_level = logical"
        echo "shared_preload_libraries = 'pg_derive'"
        echo "$plugins"
        cat
    } | as_server_user tee -a "$SERVER_DIR/data/postgresql.conf" >/dev/null
    as_server_user "$SERVER_BIN/pg_ctl" start -w -t 60 -D "$SERVER_DIR/data" \
        -l "$SERVER_DIR/server.log" >/dev/null || {
        tail -n 20 "$SERVER_DIR/server.log" >&2
        return 1
    }
    export PGHOST=$SERVER_DIR PGPORT=5432 PGUSER=postgres PGDATABASE=postgres
    export PATH=$SERVER_BIN:$PATH
    unset PGSERVICE PGOPTIONS PGHOSTADDR PGPASSWORD
}

server_stop()
{
    as_server_user "$SERVER_BIN/pg_ctl" stop -w -t 60 -m fast -D "$SERVER_DIR/data" >/dev/null
}

server_remove()
{
    [[ -n $SERVER_DIR && -d $SERVER_DIR ]] || return 0
    if [[ -e $SERVER_DIR/data/postmaster.pid ]]; then
        as_server_user "$SERVER_BIN/pg_ctl" stop -w -t 30 -m immediate -D "$SERVER_DIR/data" \
            >/dev/null 2>&1 || :
    fi
    rm -rf "$SERVER_DIR"
    SERVER_DIR=
}

# psql for scripts: stops at the first error, prints bare values.
sql()
{
    psql -X -q -A -t -P pager=off -v ON_ERROR_STOP=1 "$@"
}

# Waits until every view is live, at most for the given number of seconds.
wait_for_views()    # [seconds]
{
    local deadline=$((SECONDS + ${1:-60})) waiting
    while :; do
        waiting=$(sql -c "SELECT string_agg(format('%s is %s%s', view, state, ': ' || reason), ', ')
                            FROM derive.views WHERE state <> 'live'")
        [[ -n $waiting ]] || return 0
        if ((SECONDS >= deadline)); then
            echo "not live in time: $waiting" >&2
            return 1
        fi
        sleep 0.1
    done
}
